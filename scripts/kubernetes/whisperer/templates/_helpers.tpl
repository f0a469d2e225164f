{{- define "whisperer.name" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}{{ else if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- /* The labels that select a part; list of context and part. */}}
{{- define "whisperer.selector" -}}
app.kubernetes.io/name: whisperer
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "whisperer.labels" -}}
{{ include "whisperer.selector" . }}
app.kubernetes.io/version: {{ include "whisperer.tag" (index . 0) | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: whisperer-{{ (index . 0).Chart.Version }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The values of a part alone. */}}
{{- define "whisperer.own" -}}{{ get (dict "subscription-api" "api" "delivery-worker" "worker" "migrate" "migrate") . }}{{- end }}

{{- /* The labels of a part's pods: none that changes with the version, since that would replace pods that stay as they are. */}}
{{- define "whisperer.podLabels" -}}
{{- $ := index . 0 }}
{{- include "whisperer.selector" . }}
{{- with merge (dict) (index $.Values (include "whisperer.own" (index . 1))).podLabels $.Values.podLabels $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* An image; list of context and name. */}}
{{- define "whisperer.image" -}}
{{- $ := index . 0 }}
{{- $digest := get $.Values.image.digests (index . 1) }}
{{- $.Values.image.registry }}/{{ index . 1 }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ include "whisperer.tag" $ }}{{ end }}
{{- end }}

{{- define "whisperer.tag" -}}{{ .Values.image.tag | default .Chart.AppVersion }}{{- end }}

{{- define "whisperer.secret" -}}{{ .Values.existingSecret | default (include "whisperer.name" .) }}{{- end }}

{{- /* The names that the API has outside of the cluster, by an ingress and by a route. */}}
{{- define "whisperer.hosts" -}}
{{- $hosts := .Values.api.ingress.enabled | ternary (list .Values.api.ingress.host) (list) }}
{{- if .Values.api.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.api.httpRoute.hostnames }}{{ end }}
{{- uniq $hosts | join " " }}
{{- end }}

{{- /* What all containers have in common. */}}
{{- define "whisperer.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{ toJson .Values.securityContext }}
{{- with .Values.extraVolumeMounts }}
volumeMounts: {{ toJson . }}
{{- end }}
{{- with .Values.envFrom }}
envFrom: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "whisperer.extraEnv" -}}
{{- range .Values.extraEnv }}
- {{ toJson . }}
{{- end }}
{{- end }}

{{- /* One variable from a Secret; list of context, variable, item of the values, key, and the Secret where no other is named. */}}
{{- define "whisperer.fromSecret" -}}
{{- $given := index (index . 0).Values.existingSecrets (index . 2) }}
- name: {{ index . 1 }}
  valueFrom: {secretKeyRef: {name: {{ get $given "name" | default (index . 4) }}, key: {{ get $given "name" | empty | ternary (index . 3) (get $given "key" | default (index . 3)) }}}}
{{- end }}

{{- /* The variables that say as whom to connect to NATS, for each key that the Secret has; the Secret's name. */}}
{{- define "whisperer.natsAccess" -}}
{{- range $key := list "user" "password" "creds" "nkey" "token" "ca" "client-cert" "client-key" }}
- name: WHISPERER_NATS_{{ $key | upper | replace "-" "_" }}
  valueFrom: {secretKeyRef: {name: {{ $ }}, key: nats-{{ $key }}, optional: true}}
{{- end }}
{{- end }}

{{- /* The environment of a service; list of context, its own settings and its health port. */}}
{{- define "whisperer.env" -}}
{{- $ := index . 0 }}
{{- $secret := include "whisperer.secret" $ }}
{{- include "whisperer.fromSecret" (list $ "WHISPERER_DATABASE_URL" "databaseURL" "database-url" $secret) }}
{{- include "whisperer.fromSecret" (list $ "WHISPERER_NATS_URL" "natsURL" "nats-url" $secret) }}
{{- include "whisperer.fromSecret" (list $ "WHISPERER_MASTER_KEY" "masterKey" "master-key" $secret) }}
{{- include "whisperer.natsAccess" (get $.Values.existingSecrets.nats "name" | default $secret) }}
{{- $given := dict
  "WHISPERER_STREAM_REPLICAS" $.Values.streamReplicas
  "WHISPERER_NAMESPACE" $.Values.natsNamespace
  "WHISPERER_EGRESS_PORTS" (join "," $.Values.egress.ports)
  "WHISPERER_EGRESS_ALLOW" (join "," $.Values.egress.allow)
  "WHISPERER_HEALTH_LISTEN" (printf ":%d" (index . 2))
  "WHISPERER_SHUTDOWN_TIMEOUT" "25s" }}
{{- range $name, $value := mergeOverwrite $given $.Values.settings (index . 1) }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- include "whisperer.extraEnv" $ }}
{{- end }}

{{- /* What all pods have in common, the migration's too; list of context and part. */}}
{{- define "whisperer.anyPod" -}}
{{- $ := index . 0 }}
{{- $own := index $.Values (include "whisperer.own" (index . 1)) }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{ toJson $.Values.podSecurityContext }}
{{- with get $own "serviceAccountName" | default (and $.Values.serviceAccount.create (eq (index . 1) "migrate") | ternary "" (include "whisperer.serviceAccount" $)) }}
serviceAccountName: {{ . }}
{{- end }}
{{- range $field, $value := dict "imagePullSecrets" $.Values.imagePullSecrets "volumes" $.Values.extraVolumes "initContainers" $.Values.initContainers }}
{{- with $value }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $own $field | default (get $.Values $field) }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "whisperer.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "whisperer.name" .) "") }}
{{- end }}

{{- /* What pods of a service have in common; list of context and part. */}}
{{- define "whisperer.pod" -}}
{{- $ := index . 0 }}
{{- include "whisperer.anyPod" . }}
# WHISPERER_SHUTDOWN_TIMEOUT, what goes before and after it, and a reserve.
terminationGracePeriodSeconds: 45
{{- with (get (index $.Values (include "whisperer.own" (index . 1))) "topologySpreadConstraints") | default $.Values.topologySpreadConstraints }}
topologySpreadConstraints: {{ toJson . }}
{{- else }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "whisperer.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{- /* What makes a pod of `kubectl run` one that has what all pods have, as JSON; list of context and the pod's name. */}}
{{- define "whisperer.likeOurs" -}}
{{- $ := index . 0 }}
{{- $container := include "whisperer.container" $ | fromYaml | merge (dict "name" (index . 1) "env" $.Values.extraEnv) }}
{{- dict "spec" (include "whisperer.anyPod" (list $ "migrate") | fromYaml | merge (dict "containers" (list $container))) | toJson }}
{{- end }}

{{- /* A pod is replaced when its Secret changes, if the chart makes that; list of context and part. */}}
{{- define "whisperer.podAnnotations" -}}
{{- $ := index . 0 }}
{{- if and (include "whisperer.makesSecret" $) (ne (index . 1) "migrate") }}
checksum/secret: {{ toJson $.Values.secret | sha256sum }}
{{- end }}
{{- with merge (dict) (index $.Values (include "whisperer.own" (index . 1))).podAnnotations $.Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Whether the chart makes a Secret: not where each item has one. */}}
{{- define "whisperer.makesSecret" -}}
{{- with .Values.existingSecrets }}
{{- if not (or $.Values.existingSecret (and (get .databaseURL "name") (get .natsURL "name") (get .masterKey "name") (or (get .nats "name") (not $.Values.secret.nats)))) }}yes{{ end }}
{{- end }}
{{- end }}

{{- /* Where the PostgreSQL and the NATS are that the values name, or those of a try-out. */}}
{{- define "whisperer.databaseURL" -}}
{{- $tried := .Values.tryOut.enabled | ternary (printf "postgres://whisperer:try-out@%s-postgres:5432/whisperer?sslmode=disable" (include "whisperer.name" .)) "" }}
{{- .Values.secret.databaseURL | default $tried | required "existingSecret or secret.databaseURL is required" }}
{{- end }}
{{- define "whisperer.natsURL" -}}
{{- $tried := .Values.tryOut.enabled | ternary (printf "nats://%s-nats:4222" (include "whisperer.name" .)) "" }}
{{- .Values.secret.natsURL | default $tried | required "existingSecret or secret.natsURL is required" }}
{{- end }}

{{- /* The probes of a service: its own fields over those of all; list of context and part. */}}
{{- define "whisperer.probes" -}}
{{- $ := index . 0 }}
{{- $own := (index $.Values (include "whisperer.own" (index . 1))).probes }}
{{- range $kind, $path := dict "liveness" "/healthz" "readiness" "/readyz" "startup" "/healthz" }}
{{- with mergeOverwrite (dict) (get $.Values.probes $kind | default (dict)) (get $own $kind | default (dict)) }}
{{ $kind }}Probe: {{ merge (dict "httpGet" (dict "path" $path "port" "health")) . | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Where all pods may go: DNS, PostgreSQL, and what the values add. */}}
{{- define "whisperer.egress" -}}
- ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.dns.to }}
  to: {{ toJson . }}
  {{- end }}
- to: {{ toJson .Values.networkPolicy.postgres.to }}
  ports: [{port: {{ .Values.networkPolicy.postgres.port }}}]
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
