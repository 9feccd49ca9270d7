{{/* (dict "root" $ "phase" phase): one Job. As a hook it has a name that stays and is deleted when it succeeded, so that
the log of one that failed is there. Otherwise its name says for which revision and image it is: Jobs cannot be changed. */}}
{{- define "agentfleet.migrateJob" -}}
{{- $root := .root -}}
{{- $v := .root.Values.migrations -}}
{{- $hook := include "agentfleet.migrateByHook" $root -}}
{{- $pod := include "agentfleet.layers" (list $root.Values.podDefaults $v.pod) | fromJson -}}
{{- $args := dict "root" $root "component" "migrate" "pod" $pod -}}
{{- $suffix := ternary .phase.name (printf "%s-%d-%s" .phase.name $root.Release.Revision (include "agentfleet.image" $root | sha256sum | trunc 6)) (not (empty $hook)) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "agentfleet.name" (dict "root" $root "suffix" $suffix) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "agentfleet.labels" $args | nindent 4 }}
  {{- if or $hook $v.annotations }}
  annotations:
    {{- if $hook }}
    helm.sh/hook: {{ .phase.hook }}
    helm.sh/hook-weight: {{ .phase.weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    {{- end }}
    {{- with $v.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  backoffLimit: {{ $v.backoffLimit }}
  activeDeadlineSeconds: {{ $v.activeDeadlineSeconds }}
  {{- if not (kindIs "invalid" $v.ttlSecondsAfterFinished) }}
  ttlSecondsAfterFinished: {{ $v.ttlSecondsAfterFinished }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "agentfleet.labels" $args | nindent 8 }}
        {{- with $pod.labels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $pod.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $v.serviceAccountName | default (ternary "default" (include "agentfleet.serviceAccountName" $root) (and (not (empty $hook)) $root.Values.serviceAccount.create)) }}
      containers:
      - name: migrate
        image: {{ include "agentfleet.image" $root }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        command: [python, -m, agentfleet.cli.main, {{ join ", " .phase.arguments }}]
        env:
        {{- include "agentfleet.databaseEnv" (list $root $v) | nindent 8 }}
        {{- with $pod.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        resources:
          {{- toYaml $v.resources | nindent 10 }}
        securityContext:
          {{- include "agentfleet.containerSecurity" $root | nindent 10 }}
        volumeMounts:
        {{- include "agentfleet.mounts" $args | nindent 8 }}
      {{- include "agentfleet.podSpec" $args | nindent 6 }}
{{- end -}}
