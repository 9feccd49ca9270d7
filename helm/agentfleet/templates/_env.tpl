{{/* A value as the text of an environment variable. Numbers of values files are floats: 67108864 would be 6.7e+07. */}}
{{- define "agentfleet.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* (dict "name" "X" "secret" "s" "key" "k"): one variable out of a Secret. */}}
{{- define "agentfleet.fromSecret" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end -}}

{{/* (list $ name): the Secret of that name, or the chart's own with what `dev` brings. */}}
{{- define "agentfleet.secretName" -}}
{{- last . | default (include "agentfleet.name" (dict "root" (first .) "suffix" "dev")) -}}
{{- end -}}

{{/* (list $ spec): where Postgres is, for a workload that may have a login of its own. */}}
{{- define "agentfleet.databaseEnv" -}}
{{- $root := first . -}}
{{- $own := (last .).database | default dict -}}
{{- $all := $root.Values.database -}}
{{- $secret := include "agentfleet.secretName" (list $root ($own.existingSecret | default $all.existingSecret)) -}}
{{- $key := ternary "database-url" ($own.key | default $all.key) (empty ($own.existingSecret | default $all.existingSecret)) -}}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_DATABASE_URL" "secret" $secret "key" $key) }}
{{- with ternary ($own.directKey | default "") $all.directKey (not (empty $own.existingSecret)) }}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_DATABASE_DIRECT_URL" "secret" $secret "key" .) }}
{{- end }}
{{- end -}}

{{- define "agentfleet.redisEnv" -}}
{{- $given := .Values.redis.existingSecret -}}
{{- include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_REDIS_URL" "secret" (include "agentfleet.secretName" (list . $given)) "key" (ternary "redis-url" .Values.redis.key (empty $given))) -}}
{{- with .Values.redis.sentinelPasswordKey }}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_SENTINEL_PASSWORD" "secret" $given "key" .) }}
{{- end }}
{{- end -}}

{{/* The provider's key or accounts, for who calls models. */}}
{{- define "agentfleet.providerEnv" -}}
{{- with .Values.provider -}}
{{- if .accounts.existingSecret -}}
- {name: AGENTFLEET_ACCOUNTS, value: "@/etc/agentfleet/accounts/accounts.json"}
{{- else -}}
{{- include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_PROVIDER_API_KEY" "secret" (include "agentfleet.secretName" (list $ .existingSecret)) "key" (ternary "provider-api-key" .key (empty .existingSecret))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "item" workload): the variables of its container that are not the same for all. */}}
{{- define "agentfleet.env" -}}
{{- $v := .root.Values -}}
{{- $c := .item.component -}}
{{- if ne $c "flower" }}
{{ include "agentfleet.databaseEnv" (list .root .item.spec) }}
{{- end }}
{{ include "agentfleet.redisEnv" .root }}
{{- if has $c (list "steps" "batches") }}
{{ include "agentfleet.providerEnv" .root }}
{{- end }}
{{- if and (eq $c "dispatcher") $v.provider.adminKey }}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_PROVIDER_ADMIN_KEY" "secret" $v.provider.existingSecret "key" $v.provider.adminKey) }}
{{- if $v.provider.accounts.existingSecret }}
{{ include "agentfleet.providerEnv" .root }}
{{- end }}
{{- end }}
{{- if and (eq $c "reconciler") $v.alerts.existingSecret }}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_ALERT_WEBHOOK_URL" "secret" $v.alerts.existingSecret "key" $v.alerts.urlKey) }}
{{- with $v.alerts.secretKey }}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_ALERT_WEBHOOK_SECRET" "secret" $v.alerts.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- if and (eq $c "ingress") $v.autoscaling.keda.token.existingSecret }}
{{ include "agentfleet.fromSecret" (dict "name" "AGENTFLEET_INTERNAL_TOKEN" "secret" $v.autoscaling.keda.token.existingSecret "key" $v.autoscaling.keda.token.key) }}
{{- end }}
{{- if eq $c "flower" }}
{{ include "agentfleet.fromSecret" (dict "name" "FLOWER_BASIC_AUTH" "secret" $v.flower.existingSecret "key" $v.flower.key) }}
- {name: FLOWER_ADDRESS, value: 0.0.0.0}
- {name: FLOWER_PORT, value: "5555"}
{{- if $v.flower.persistence.enabled }}
- {name: FLOWER_DB, value: /var/lib/flower/history}
{{- end }}
{{- with $v.flower.urlPrefix }}
- {name: FLOWER_URL_PREFIX, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- with $v.tracing }}
{{- if and .enabled .headers.existingSecret }}
{{ include "agentfleet.fromSecret" (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" .headers.existingSecret "key" .headers.key) }}
{{- end }}
{{- end }}
{{- /* Beside the image that it names: a pod of before that restarts meanwhile stays what it was. */}}
- {name: AGENTFLEET_RELEASE, value: {{ $v.image.digest | default $v.image.tag | default .root.Chart.AppVersion | quote }}}
{{- with .item.pool }}
- {name: AGENTFLEET_POOL, value: {{ . | quote }}}
{{- end }}
{{- if .item.drain }}
- {name: AGENTFLEET_DRAIN, value: {{ include "agentfleet.text" .item.drain | quote }}}
{{- end }}
{{- if eq $c "steps" }}
- {name: AGENTFLEET_WORKER_CAPACITY, value: {{ include "agentfleet.text" .item.spec.capacity | quote }}}
{{- end }}
{{- if ne $c "ingress" }}
- {name: AGENTFLEET_METRICS_PORT, value: "9100"}
{{- end }}
{{- end -}}
