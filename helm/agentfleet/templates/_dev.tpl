{{/* (dict "root" $ "server" server): a Service and one pod that keeps its data for as long as it lives. */}}
{{- define "agentfleet.devServer" -}}
{{- $root := .root -}}
{{- $args := dict "root" .root "component" .server.component -}}
{{- $name := include "agentfleet.name" (dict "root" .root "suffix" .server.component) -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "agentfleet.labels" $args | nindent 4 }}
spec:
  selector:
    {{- include "agentfleet.selector" $args | nindent 4 }}
  ports:
  - {name: server, port: {{ .server.port }}, targetPort: server, protocol: TCP}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "agentfleet.labels" $args | nindent 4 }}
spec:
  replicas: 1
  revisionHistoryLimit: {{ $root.Values.revisionHistoryLimit }}
  strategy: {type: Recreate}
  selector:
    matchLabels:
      {{- include "agentfleet.selector" $args | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "agentfleet.labels" $args | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      serviceAccountName: {{ include "agentfleet.serviceAccountName" $root }}
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ .server.user }}
        runAsGroup: {{ .server.user }}
        fsGroup: {{ .server.user }}
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: {{ .server.component }}
        image: {{ .server.image }}
        {{- with .server.command }}
        command: {{ toJson . }}
        {{- end }}
        {{- with .server.env }}
        env:
        {{- toYaml . | nindent 8 }}
        {{- end }}
        ports:
        - {name: server, containerPort: {{ .server.port }}}
        startupProbe:
          {{- toYaml .server.probe | nindent 10 }}
          periodSeconds: 2
          timeoutSeconds: 3
          failureThreshold: 60
        readinessProbe:
          {{- toYaml .server.probe | nindent 10 }}
          periodSeconds: 5
          timeoutSeconds: 3
        livenessProbe:
          {{- toYaml .server.probe | nindent 10 }}
          periodSeconds: 20
          timeoutSeconds: 5
        resources:
          requests: {cpu: 100m, memory: 256Mi}
          limits: {memory: 1Gi}
        securityContext:
          {{- include "agentfleet.containerSecurity" $root | nindent 10 }}
        volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: {{ .server.data }}}
        {{- if eq .server.component "postgres" }}
        - {name: run, mountPath: /var/run/postgresql}
        {{- end }}
      volumes:
      - {name: tmp, emptyDir: {}}
      - {name: data, emptyDir: {}}
      {{- if eq .server.component "postgres" }}
      - {name: run, emptyDir: {}}
      {{- end }}
{{- end -}}
