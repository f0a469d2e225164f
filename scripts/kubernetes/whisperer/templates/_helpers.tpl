{{- define "whisperer.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
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
{{- end }}

{{- define "whisperer.tag" -}}{{ .Values.image.tag | default .Chart.AppVersion }}{{- end }}

{{- define "whisperer.secret" -}}{{ .Values.existingSecret | default (include "whisperer.name" .) }}{{- end }}

{{- /* What all containers have in common. */}}
{{- define "whisperer.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
{{- with .Values.extraVolumeMounts }}
volumeMounts: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "whisperer.extraEnv" -}}
{{- range .Values.extraEnv }}
- {{ toJson . }}
{{- end }}
{{- end }}

{{- /* One variable from the Secret; list of variable, Secret and key. */}}
{{- define "whisperer.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
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
{{- include "whisperer.fromSecret" (list "WHISPERER_DATABASE_URL" $secret "database-url") }}
{{ include "whisperer.fromSecret" (list "WHISPERER_NATS_URL" $secret "nats-url") }}
{{ include "whisperer.fromSecret" (list "WHISPERER_MASTER_KEY" $secret "master-key") }}
{{- include "whisperer.natsAccess" $secret }}
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

{{- /* What all pods have in common, the migration's too. */}}
{{- define "whisperer.anyPod" -}}
automountServiceAccountToken: false
securityContext: {{ toJson .Values.podSecurityContext }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.extraVolumes }}
volumes: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{- /* What pods of a service have in common; list of context and part. */}}
{{- define "whisperer.pod" -}}
{{- include "whisperer.anyPod" (index . 0) }}
# WHISPERER_SHUTDOWN_TIMEOUT, what goes before and after it, and a reserve.
terminationGracePeriodSeconds: 45
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "whisperer.selector" . | nindent 8 }}
{{- end }}

{{- /* What makes a pod of `kubectl run` one that has what all pods have, as JSON; list of context and the pod's name. */}}
{{- define "whisperer.likeOurs" -}}
{{- $ := index . 0 }}
{{- $container := include "whisperer.container" $ | fromYaml | merge (dict "name" (index . 1) "env" $.Values.extraEnv) }}
{{- dict "spec" (include "whisperer.anyPod" $ | fromYaml | merge (dict "containers" (list $container))) | toJson }}
{{- end }}

{{- /* A pod is replaced when its Secret changes, if the chart makes that. */}}
{{- define "whisperer.podAnnotations" -}}
{{- if not .Values.existingSecret }}
checksum/secret: {{ toJson .Values.secret | sha256sum }}
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "whisperer.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
