{{/* (dict "root" $ "component" … "pool" … "name" … "pod" pod "hook" "true"?): what one component may hear and say.
A hook's own policy has to be there before the hook: in a namespace that denies by default nothing else lets it out. */}}
{{- define "agentfleet.networkPolicy" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- $net := $v.networkPolicy -}}
{{- $c := .component -}}
{{- $fleet := has $c (list "ingress" "steps" "dispatcher" "reconciler" "batches") -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "agentfleet.labels" . | nindent 4 }}
  {{- if .hook }}
  annotations:
    helm.sh/hook: {{ ternary "pre-install,pre-upgrade,post-install,post-upgrade" "pre-install,pre-upgrade" $v.migrations.post }}
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "agentfleet.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
  {{- if eq $c "ingress" }}
  {{- include "agentfleet.rule" (dict "way" "from" "ports" (list 8080) "peers" (ternary (append (concat $net.apiFrom $net.metricsFrom) (include "agentfleet.peer" (dict "root" $root "component" "test") | fromYaml)) list (not (empty $net.apiFrom)))) | nindent 2 }}
  {{- else if eq $c "flower" }}
  {{- with $v.flower.allowFrom }}
  {{- include "agentfleet.rule" (dict "way" "from" "ports" (list 5555) "peers" .) | nindent 2 }}
  {{- else }} []
  {{- end }}
  {{- else if $fleet }}
  {{- include "agentfleet.rule" (dict "way" "from" "ports" (list 9100) "peers" ($net.metricsFrom | default (list (dict "namespaceSelector" dict)))) | nindent 2 }}
  {{- else if has $c (list "postgres" "redis" "simulator") }}
  {{- include "agentfleet.rule" (dict "way" "from" "ports" (list (get (dict "postgres" 5432 "redis" 6379 "simulator" 8787) $c))
        "peers" (list (dict "podSelector" (dict "matchLabels" (dict "app.kubernetes.io/instance" $root.Release.Name))))) | nindent 2 }}
  {{- else }} []
  {{- end }}
  egress:
  {{- if has $c (list "postgres" "redis" "simulator") }} []
  {{- else }}
  - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    {{- with $net.dns.to }}
    to:
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $fleet (eq $c "migrate") }}
  {{- include "agentfleet.rule" (dict "way" "to" "ports" $net.database.ports "peers" $net.database.to) | nindent 2 }}
  {{- end }}
  {{- if or $fleet (eq $c "flower") }}
  {{- include "agentfleet.rule" (dict "way" "to" "ports" $net.redis.ports "peers" $net.redis.to) | nindent 2 }}
  {{- end }}
  {{- if and $v.tracing.enabled (has $c (list "ingress" "steps")) }}
  {{- include "agentfleet.rule" (dict "way" "to" "ports" $net.otlp.ports "peers" $net.otlp.to) | nindent 2 }}
  {{- end }}
  {{- if or (has $c (list "steps" "batches")) (and (eq $c "dispatcher") $v.provider.adminKey) (and (eq $c "reconciler") (or $v.alerts.existingSecret $v.settings.AGENTFLEET_ARCHIVE)) }}
  - ports: [{port: 443, protocol: TCP}]
    to:
    - ipBlock: {cidr: 0.0.0.0/0, except: {{ toJson $net.https.except }}}
    - ipBlock: {cidr: "::/0", except: {{ toJson $net.https.except6 }}}
  {{- end }}
  {{- if and $v.dev.enabled (has $c (list "steps" "batches")) }}
  {{- include "agentfleet.rule" (dict "way" "to" "ports" (list 8787) "peers" (list (include "agentfleet.peer" (dict "root" $root "component" "simulator") | fromYaml))) | nindent 2 }}
  {{- end }}
  {{- if eq $c "test" }}
  {{- include "agentfleet.rule" (dict "way" "to" "ports" (list 8080) "peers" (list (include "agentfleet.peer" (dict "root" $root "component" "ingress") | fromYaml))) | nindent 2 }}
  {{- end }}
  {{- with .pod.extraEgress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* (dict "way" "to"|"from" "ports" ports "peers" peers): one rule; without peers, for anybody. */}}
{{- define "agentfleet.rule" -}}
- ports:
  {{- range .ports }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .peers }}
  {{ $.way }}:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "agentfleet.peer" -}}
podSelector:
  matchLabels:
    {{- include "agentfleet.selector" . | nindent 4 }}
{{- end -}}
