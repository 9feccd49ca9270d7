{{/* `<release>-agentfleet`. Never shortened to the release's name alone, so that no two releases share a name. */}}
{{- define "agentfleet.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := ternary $name (printf "%s-%s" .Release.Name $name) (eq .Release.Name $name) -}}
{{- include "agentfleet.short" (.Values.fullnameOverride | default $whole) -}}
{{- end -}}

{{/* A name of at most 63 characters: what is longer ends in a hash, so that it stays apart from others. */}}
{{- define "agentfleet.short" -}}
{{- if gt (len .) 63 -}}
{{- printf "%s-%s" (. | trunc 54 | trimSuffix "-") (. | sha256sum | trunc 8) -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "suffix" "steps-default"): `<fullname>-<suffix>`. */}}
{{- define "agentfleet.name" -}}
{{- include "agentfleet.short" (printf "%s-%s" (include "agentfleet.fullname" .root) .suffix) -}}
{{- end -}}

{{- define "agentfleet.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* First part of every Redis key: of this release alone, whatever namespace or cluster else uses that Redis. */}}
{{- define "agentfleet.redisPrefix" -}}
{{- $whole := printf "%s-%s" .Release.Namespace (include "agentfleet.fullname" .) -}}
{{- if .Values.redis.prefix -}}
{{- .Values.redis.prefix -}}
{{- else if or (gt (len $whole) 40) (not (regexMatch "^[a-z]" $whole)) -}}
{{- printf "af-%s-%s" ($whole | trunc 28 | trimSuffix "-") ($whole | sha256sum | trunc 8) -}}
{{- else -}}
{{- $whole -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "steps" "pool" "default"): what Deployments and policies select by; it never changes. */}}
{{- define "agentfleet.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
agentfleet/pool: {{ . }}
{{- end }}
{{- end -}}

{{/* The same arguments: every label of an object. */}}
{{- define "agentfleet.labels" -}}
{{ include "agentfleet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "agentfleet.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "agentfleet.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* (list $ "auto"|true|false): "true" when objects of the Prometheus operator are wanted. */}}
{{- define "agentfleet.monitored" -}}
{{- $root := first . -}}
{{- $wanted := last . -}}
{{- if kindIs "bool" $wanted -}}
{{- ternary "true" "" $wanted -}}
{{- else if $root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
true
{{- end -}}
{{- end -}}

{{/* A pre-install hook runs before anything else of the release exists, a Postgres for development included. */}}
{{- define "agentfleet.migrateByHook" -}}
{{- if and .Values.migrations.useHelmHooks (not .Values.dev.enabled) (not .Values.dev.allowInlineSecrets) -}}true{{- end -}}
{{- end -}}
