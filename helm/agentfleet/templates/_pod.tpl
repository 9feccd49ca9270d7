{{- define "agentfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end -}}

{{/* (dict "root" $ "component" "steps" "pool" "default" "pod" pod "item" workload?): what all pods have in common.
`mounts` says what a container of agentfleet sees of it. */}}
{{- define "agentfleet.podSpec" -}}
{{- $root := .root -}}
{{- $selector := include "agentfleet.selector" . | fromYaml -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
securityContext:
{{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- if .pod.affinity }}
affinity:
{{- toYaml .pod.affinity | nindent 2 }}
{{- else if eq .component "ingress" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector: {matchLabels: {{ toJson $selector }}}
{{- end }}
{{- if hasKey .pod "topologySpreadConstraints" }}
{{- with .pod.topologySpreadConstraints }}
topologySpreadConstraints:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {{ toJson $selector }}}
{{- end }}
{{- end }}
volumes:
- name: tmp
  emptyDir: {}
{{- with $root.Values.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ . }}}
{{- end }}
{{- if and $root.Values.provider.accounts.existingSecret (has .component (list "steps" "batches" "dispatcher")) }}
- name: accounts
  secret:
    secretName: {{ $root.Values.provider.accounts.existingSecret }}
    items: [{key: {{ $root.Values.provider.accounts.key }}, path: accounts.json}]
{{- end }}
{{- if and (include "agentfleet.echo" $root) (has .component (list "ingress" "steps")) }}
- name: helm-test
  configMap: {name: {{ include "agentfleet.name" (dict "root" $root "suffix" "helm-test") }}}
{{- end }}
{{- if and (eq .component "flower") $root.Values.flower.persistence.enabled }}
- name: history
  persistentVolumeClaim: {claimName: {{ include "agentfleet.name" (dict "root" $root "suffix" "flower") }}}
{{- end }}
{{- with .pod.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The same arguments: the mounts of a container of agentfleet. */}}
{{- define "agentfleet.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- with .root.Values.tls.existingSecret }}
- {name: tls, mountPath: /etc/agentfleet/tls, readOnly: true}
{{- end }}
{{- if and .root.Values.provider.accounts.existingSecret (has .component (list "steps" "batches" "dispatcher")) }}
- {name: accounts, mountPath: /etc/agentfleet/accounts, readOnly: true}
{{- end }}
{{- if and (include "agentfleet.echo" .root) (has .component (list "ingress" "steps")) }}
- {name: helm-test, mountPath: /app/agentfleet_helm_test.py, subPath: agentfleet_helm_test.py, readOnly: true}
{{- end }}
{{- if and (eq .component "flower") .root.Values.flower.persistence.enabled }}
- {name: history, mountPath: /var/lib/flower}
{{- end }}
{{- with .pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of pods: (dict "root" $ "component" … "pool" … "pod" pod). */}}
{{- define "agentfleet.podMetadata" -}}
labels:
  {{- include "agentfleet.labels" . | nindent 2 }}
  {{- with .pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
  {{- with .pod.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* "true" when the chart brings the agent of `helm test`. */}}
{{- define "agentfleet.echo" -}}
{{- if and .Values.test.enabled (not .Values.test.agent) -}}true{{- end -}}
{{- end -}}
