{{- /* Names, labels and the parts that every pod shares. */ -}}

{{- define "tunery.name" -}}
{{- if contains "tunery" .Release.Name -}}
{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-tunery" (.Release.Name | trunc 23 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- /* Takes (list $ component). */ -}}
{{- define "tunery.selector" -}}
app.kubernetes.io/name: tunery
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "tunery.labels" -}}
{{ include "tunery.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{- define "tunery.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "tunery.name" . }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "tunery.secret" -}}
{{ .Values.secrets.existing | default (include "tunery.name" .) }}
{{- end -}}

{{- /* Takes (list $ image). */ -}}
{{- define "tunery.image" -}}
{{ (index . 1).repository }}:{{ (index . 1).tag | default (index . 0).Chart.AppVersion }}
{{- end -}}

{{- /* What every pod says before its containers: no API token, nobody's root, no free system call. */ -}}
{{- define "tunery.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "tunery.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- /* What a pod gets of the Secret, takes (list $ keys). */ -}}
{{- define "tunery.secretEnv" -}}
{{- $root := index . 0 -}}
{{- range index . 1 }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tunery.secret" $root }}
      key: {{ . }}
      {{- if eq . "HF_TOKEN" }}
      optional: true
      {{- end }}
{{- end }}
{{- end -}}

{{- /* Pods start anew when what they read at their start has changed. */ -}}
{{- define "tunery.checksum" -}}
checksum/settings: {{ .Values.settings | toJson | sha256sum }}
checksum/secrets: {{ .Values.secrets | toJson | sha256sum }}
{{- end -}}
