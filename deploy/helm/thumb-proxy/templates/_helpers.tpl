{{- define "thumb-proxy.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end -}}

{{- define "thumb-proxy.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "thumb-proxy.redisSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end -}}

{{- define "thumb-proxy.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "thumb-proxy.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "thumb-proxy.secret" -}}
{{- if .Values.seal.existingSecret }}{{ .Values.seal.existingSecret }}{{ else if .Values.seal.keys }}{{ include "thumb-proxy.name" . }}{{ else }}{{ fail "pods share the keys of cookies and sealed URLs: give seal.existingSecret, or seal.keys" }}{{ end -}}
{{- end -}}

{{/* Seconds between SIGTERM and SIGKILL: the gateway drains, ends its requests, and closes. */}}
{{- define "thumb-proxy.graceSeconds" -}}
{{- $server := .Values.settings.server | default dict -}}
{{- add (ceil ($server.drain_s | default 3)) (mul 2 (int (ceil ($server.shutdown_s | default 30)))) 10 -}}
{{- end -}}
