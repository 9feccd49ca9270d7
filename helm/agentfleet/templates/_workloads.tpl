{{/* Every long-running workload of agentfleet as JSON: {"items": [{component, pool, name, module, spec, pod, …}]}.
Deployments, PodDisruptionBudgets, NetworkPolicies and monitors are made from this one list. */}}
{{- define "agentfleet.workloads" -}}
{{- $v := .Values -}}
{{- $items := list -}}
{{- $items = append $items (dict "component" "ingress" "spec" $v.ingress "pod" (list $v.ingress.pod)
      "drain" $v.ingress.drainSeconds "grace" (add $v.ingress.preStopSeconds $v.ingress.drainSeconds 30)
      "least" (ternary $v.ingress.autoscaling.minReplicas $v.ingress.replicas $v.ingress.autoscaling.enabled)
      "scaled" $v.ingress.autoscaling.enabled) -}}
{{- range $pool, $own := $v.workers.pools -}}
{{- $spec := include "agentfleet.layers" (list (omit $v.workers "pools") ($own | default dict)) | fromJson -}}
{{- $scaled := or $v.autoscaling.keda.enabled $spec.hpa.enabled -}}
{{- $items = append $items (dict "component" "steps" "pool" $pool "spec" $spec "pod" (list $v.workers.pod (($own | default dict).pod))
      "drain" $v.workers.drainSeconds "grace" (add $v.workers.drainSeconds 30)
      "least" (ternary $spec.autoscaling.minReplicas $spec.replicas $scaled) "scaled" $scaled) -}}
{{- $items = append $items (dict "component" "dispatcher" "pool" $pool "spec" $v.dispatcher "pod" (list $v.dispatcher.pod) "least" $v.dispatcher.replicas) -}}
{{- $items = append $items (dict "component" "reconciler" "pool" $pool "spec" $v.reconciler "pod" (list $v.reconciler.pod) "least" $v.reconciler.replicas) -}}
{{- end -}}
{{- if $v.batches.enabled -}}
{{- $items = append $items (dict "component" "batches" "spec" $v.batches "pod" (list $v.batches.pod) "least" $v.batches.replicas) -}}
{{- end -}}
{{- if $v.flower.enabled -}}
{{- $items = append $items (dict "component" "flower" "spec" $v.flower "pod" (list $v.flower.pod) "least" 1) -}}
{{- end -}}
{{- range $items -}}
{{- $suffix := ternary (printf "%s-%s" .component .pool) .component (not (empty .pool)) -}}
{{- $_ := set . "name" (include "agentfleet.name" (dict "root" $ "suffix" $suffix)) -}}
{{- $_ := set . "pod" (include "agentfleet.layers" (prepend .pod $v.podDefaults) | fromJson) -}}
{{- $_ := set . "port" (get (dict "ingress" "http" "flower" "flower") .component | default "metrics") -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end -}}

{{/* Maps as JSON, the later over the earlier, entry by entry. Not `merge`, which takes 0, false and "" for unset. */}}
{{- define "agentfleet.layers" -}}
{{- $all := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* What a pool has to offer, for templates that start from the pool: (list $ "default"). */}}
{{- define "agentfleet.pool" -}}
{{- $root := first . -}}
{{- include "agentfleet.layers" (list (omit $root.Values.workers "pools") (get $root.Values.workers.pools (last .) | default dict)) -}}
{{- end -}}
