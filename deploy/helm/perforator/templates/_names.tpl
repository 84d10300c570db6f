{{- define "perforator.name" -}}
{{- if contains "perforator" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-perforator" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "perforator.selector" -}}
app.kubernetes.io/name: perforator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "perforator.labels" -}}
{{ include "perforator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "perforator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "perforator.scheme" -}}
{{ if .Values.tls.secret }}https{{ else }}http{{ end }}
{{- end }}

{{- define "perforator.probe" -}}
httpGet: { path: {{ .path }}, port: api, scheme: {{ include "perforator.scheme" .root | upper }} }
{{- end }}

{{/* A Deployment of servers of one role: dict "root" $ "role" "api" "settings" .Values.api */}}
{{- define "perforator.servers" -}}
{{- $ := .root }}
{{- $name := printf "%s-%s" (include "perforator.name" $) .role }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "perforator.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  {{- if not .settings.autoscaling.enabled }}
  replicas: {{ .settings.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "perforator.selector" $ | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
  template:
    metadata:
      labels:
        {{- include "perforator.labels" $ | nindent 8 }}
        app.kubernetes.io/component: {{ .role }}
      annotations:
        # The access file is read at the start.
        checksum/access: {{ include (print $.Template.BasePath "/access.yaml") $ | sha256sum }}
    spec:
      serviceAccountName: {{ include "perforator.name" $ }}-server
      automountServiceAccountToken: false
      {{- with $.Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      # A request under way may bring a binary of gigabytes.
      terminationGracePeriodSeconds: 60
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "perforator.selector" $ | nindent 14 }}
              app.kubernetes.io/component: {{ .role }}
      containers:
        - name: server
          image: {{ include "perforator.image" $ | quote }}
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          args:
            - serve
            - --role={{ .role }}
            - {{ printf "--database=%s" $.Values.database | quote }}
            - {{ printf "--objects=%s" $.Values.objects | quote }}
            - --data=/var/lib/perforator/data
            - --listen={{ include "perforator.scheme" $ }}://0.0.0.0:7733
            - --auth=/etc/perforator/access/access.yaml
            {{- if and $.Values.enrol (eq .role "api") }}
            - --enrol=/etc/perforator/enrol/enrol.yaml
            {{- end }}
            - --log-format=json
            {{- if $.Values.tls.secret }}
            - --tls-certificate=/etc/perforator/tls/tls.crt
            - --tls-key=/etc/perforator/tls/tls.key
            {{- else }}
            - --insecure
            {{- end }}
          {{- with $.Values.secret }}
          envFrom:
            - secretRef: { name: {{ . }} }
          {{- end }}
          ports:
            - { name: api, containerPort: 7733 }
          startupProbe:
            {{- include "perforator.probe" (dict "root" $ "path" "/healthz") | nindent 12 }}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            {{- include "perforator.probe" (dict "root" $ "path" "/healthz") | nindent 12 }}
            timeoutSeconds: 5
          readinessProbe:
            {{- include "perforator.probe" (dict "root" $ "path" "/readyz") | nindent 12 }}
            timeoutSeconds: 10
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          resources: {{ toYaml .settings.resources | nindent 12 }}
          volumeMounts:
            - { name: data, mountPath: /var/lib/perforator }
            - { name: tmp, mountPath: /tmp }
            - { name: access, mountPath: /etc/perforator/access, readOnly: true }
            {{- if and $.Values.enrol (eq .role "api") }}
            - { name: enrol, mountPath: /etc/perforator/enrol, readOnly: true }
            {{- end }}
            {{- if $.Values.tls.secret }}
            - { name: tls, mountPath: /etc/perforator/tls, readOnly: true }
            {{- end }}
      {{- with .settings.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with .settings.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      volumes:
        - name: data
          emptyDir: { sizeLimit: {{ $.Values.scratch }} }
        - name: tmp
          emptyDir: {}
        - name: access
          secret: { secretName: {{ include "perforator.name" $ }}-access }
        {{- if and $.Values.enrol (eq .role "api") }}
        - name: enrol
          configMap: { name: {{ include "perforator.name" $ }}-enrol }
        {{- end }}
        {{- if $.Values.tls.secret }}
        - name: tls
          secret: { secretName: {{ $.Values.tls.secret }} }
        {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "perforator.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "perforator.selector" $ | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
{{- if .settings.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "perforator.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ .settings.replicas }}
  maxReplicas: {{ .settings.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .settings.autoscaling.targetCPU }} }
{{- end }}
{{- end }}
