{{/* What the schema cannot say. Each failure names the value and what to do. */}}
{{- define "agentfleet.validate" -}}
{{- $v := .Values -}}
{{- range list (list "database.url" $v.database.url) (list "redis.url" $v.redis.url) (list "provider.apiKey" $v.provider.apiKey) -}}
{{- if and (last .) (not $v.dev.allowInlineSecrets) -}}
{{- fail (printf "%s is a secret: put it into a Secret and name that in %s.existingSecret (dev.allowInlineSecrets=true lets it pass)" (first .) (first . | splitList "." | first)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $inline := dict "database" $v.database.url "redis" $v.redis.url -}}
{{- if not (or (get $v $name).existingSecret $inline $v.dev.enabled) -}}
{{- fail (printf "%s.existingSecret is required: the name of a Secret whose key %q holds the URL" $name (get $v $name).key) -}}
{{- end -}}
{{- end -}}
{{- if not (or $v.provider.existingSecret $v.provider.accounts.existingSecret $v.provider.apiKey $v.dev.enabled) -}}
{{- fail (printf "provider.existingSecret is required: the name of a Secret whose key %q holds the provider's key (or provider.accounts.existingSecret)" $v.provider.key) -}}
{{- end -}}
{{- if and $v.provider.adminKey (not $v.provider.existingSecret) -}}
{{- fail "provider.adminKey is a key of provider.existingSecret, which is not set" -}}
{{- end -}}
{{- if and $v.redis.sentinelPasswordKey (not $v.redis.existingSecret) -}}
{{- fail "redis.sentinelPasswordKey is a key of redis.existingSecret, which is not set" -}}
{{- end -}}
{{- if and $v.flower.enabled (not $v.flower.existingSecret) -}}
{{- fail (printf "flower.existingSecret is required with flower.enabled: the name of a Secret whose key %q holds user:password. Flower's API can revoke; it never runs open" $v.flower.key) -}}
{{- end -}}
{{- if and $v.autoscaling.keda.enabled (not $v.autoscaling.keda.token.existingSecret) -}}
{{- fail (printf "autoscaling.keda.token.existingSecret is required with KEDA: the name of a Secret whose key %q holds the bearer token of /internal/autoscale" $v.autoscaling.keda.token.key) -}}
{{- end -}}
{{- if and $v.test.enabled (not $v.test.apiKey.existingSecret) -}}
{{- fail (printf "test.apiKey.existingSecret is required with test.enabled: the name of a Secret whose key %q holds what `agentfleet keys create` printed" $v.test.apiKey.key) -}}
{{- end -}}
{{- if and $v.test.enabled (not $v.test.agent) (not (hasKey $v.workers.pools $v.test.pool)) -}}
{{- fail (printf "test.pool is %q, which workers.pools does not have" $v.test.pool) -}}
{{- end -}}
{{- if and $v.tracing.enabled (not $v.tracing.endpoint) -}}
{{- fail "tracing.endpoint is required with tracing.enabled: OTLP over HTTP, such as http://otel-collector:4318" -}}
{{- end -}}
{{- if and $v.ingress.expose.enabled (not $v.ingress.expose.hosts) -}}
{{- fail "ingress.expose.hosts is required with ingress.expose.enabled: at least one host name" -}}
{{- end -}}
{{- if and $v.serviceAccount.create (eq $v.serviceAccount.name "default") -}}
{{- fail "serviceAccount.name is \"default\", which every namespace has: name another one, or set serviceAccount.create=false" -}}
{{- end -}}
{{- if not $v.workers.pools -}}
{{- fail "workers.pools is empty: without a pool nothing runs" -}}
{{- end -}}
{{- range $pool, $_ := $v.workers.pools -}}
{{- $spec := include "agentfleet.pool" (list $ $pool) | fromJson -}}
{{- if and $v.autoscaling.keda.enabled $spec.hpa.enabled -}}
{{- fail (printf "workers.pools.%s: KEDA (autoscaling.keda.enabled) and hpa.enabled would fight over the same Deployment: choose one" $pool) -}}
{{- end -}}
{{- if and $spec.hpa.enabled (not $spec.hpa.metrics) -}}
{{- fail (printf "workers.pools.%s: hpa.metrics is empty, and a HorizontalPodAutoscaler needs at least one" $pool) -}}
{{- end -}}
{{- if gt (int $spec.autoscaling.minReplicas) (int $spec.autoscaling.maxReplicas) -}}
{{- fail (printf "workers.pools.%s: autoscaling.minReplicas (%d) exceeds maxReplicas (%d)" $pool (int $spec.autoscaling.minReplicas) (int $spec.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $spec.hpa.enabled (eq (int $spec.autoscaling.minReplicas) 0) -}}
{{- fail (printf "workers.pools.%s: autoscaling.minReplicas is 0, which a HorizontalPodAutoscaler cannot do: 1, or KEDA" $pool) -}}
{{- end -}}
{{- end -}}
{{- with $v.ingress.autoscaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "ingress.autoscaling.minReplicas (%d) exceeds maxReplicas (%d)" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- $pods := list $v.podDefaults $v.ingress.pod $v.workers.pod $v.dispatcher.pod $v.reconciler.pod $v.batches.pod $v.flower.pod $v.migrations.pod $v.test.pod -}}
{{- range $_, $own := $v.workers.pools -}}
{{- $pods = append $pods (($own | default dict).pod | default dict) -}}
{{- end -}}
{{- range $pods -}}
{{- range (. | default dict).extraEnv -}}
{{- if and .value (regexMatch "(KEY|SECRET|TOKEN|PASSWORD|DATABASE_URL|DIRECT_URL|REDIS_URL)$" .name) (not $v.dev.allowInlineSecrets) -}}
{{- fail (printf "extraEnv %s looks like a secret: give it as valueFrom.secretKeyRef (dev.allowInlineSecrets=true lets it pass)" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
