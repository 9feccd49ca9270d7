{{/* (dict "root" $ "item" workload): its Deployment. */}}
{{- define "agentfleet.deployment" -}}
{{- $root := .root -}}
{{- $item := .item -}}
{{- $args := dict "root" $root "component" $item.component "pool" $item.pool "pod" $item.pod "item" $item -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $item.name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "agentfleet.labels" $args | nindent 4 }}
  {{- with $item.pod.deploymentAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if not $item.scaled }}
  replicas: {{ $item.least }}
  {{- end }}
  revisionHistoryLimit: {{ $root.Values.revisionHistoryLimit }}
  {{- if eq $item.component "flower" }}
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    rollingUpdate:
      {{- toYaml ($item.spec.rollingUpdate | default (dict "maxSurge" 1 "maxUnavailable" 0)) | nindent 6 }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "agentfleet.selector" $args | nindent 6 }}
  template:
    metadata:
      {{- include "agentfleet.podMetadata" $args | nindent 6 }}
    spec:
      serviceAccountName: {{ include "agentfleet.serviceAccountName" $root }}
      terminationGracePeriodSeconds: {{ $item.grace | default 30 }}
      containers:
      - name: {{ $item.component }}
        image: {{ include "agentfleet.image" $root }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        command: [python, -m, workers.{{ $item.component }}]
        envFrom:
        - configMapRef: {name: {{ include "agentfleet.name" (dict "root" $root "suffix" "config") }}}
        env:
        {{- include "agentfleet.env" . | trim | nindent 8 }}
        {{- with $item.pod.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        ports:
        - {name: {{ $item.port }}, containerPort: {{ include "agentfleet.portNumber" $item.port }}}
        {{- include "agentfleet.probes" . | nindent 8 }}
        {{- if eq $item.component "ingress" }}
        lifecycle:
          preStop:
            {{- if semverCompare ">=1.30-0" $root.Capabilities.KubeVersion.Version }}
            sleep: {seconds: {{ $item.spec.preStopSeconds }}}
            {{- else }}
            exec: {command: [sleep, {{ include "agentfleet.text" $item.spec.preStopSeconds | quote }}]}
            {{- end }}
        {{- end }}
        resources:
          {{- toYaml $item.spec.resources | nindent 10 }}
        securityContext:
          {{- include "agentfleet.containerSecurity" $root | nindent 10 }}
        volumeMounts:
        {{- include "agentfleet.mounts" $args | nindent 8 }}
      {{- include "agentfleet.podSpec" $args | nindent 6 }}
{{- end -}}

{{- define "agentfleet.portNumber" -}}
{{- get (dict "http" "8080" "metrics" "9100" "flower" "5555") . -}}
{{- end -}}

{{/* Restart what does not answer; send nothing to what is not ready. Neither asks whether Postgres is there. */}}
{{- define "agentfleet.probes" -}}
{{- $alive := "/healthz" -}}
{{- $ready := "/readyz" -}}
{{- if eq .item.component "flower" -}}
{{- $alive = printf "%s/healthcheck" (ternary (printf "/%s" (trimAll "/" .root.Values.flower.urlPrefix)) "" (not (empty .root.Values.flower.urlPrefix))) -}}
{{- $ready = $alive -}}
{{- end -}}
startupProbe:
  httpGet: {path: {{ $alive }}, port: {{ .item.port }}}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 60
readinessProbe:
  httpGet: {path: {{ $ready }}, port: {{ .item.port }}}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: {{ $alive }}, port: {{ .item.port }}}
  periodSeconds: 20
  timeoutSeconds: 5
{{- end -}}
