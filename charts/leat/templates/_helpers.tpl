{{- define "leat.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: leat
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "leat.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- /* Labels of a pod: those of the chart, and the user's. */}}
{{- define "leat.podMetadata" -}}
labels:
  {{- include "leat.labels" . | nindent 2 }}
  leat.dev/mesh: disabled
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) (.annotations | default dict) .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "leat.image" -}}
{{- $image := .root.Values.image -}}
{{- if .digest }}{{ $image.registry }}/{{ .name }}@{{ .digest }}
{{- else }}{{ $image.registry }}/{{ .name }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* A folder of the node: the user's, the platform's, or the usual one. */}}
{{- define "leat.path" -}}
{{- $platforms := dict
  "gke" (dict "cniBin" "/home/kubernetes/bin")
  "k3s" (dict "cniConf" "/var/lib/rancher/k3s/agent/etc/cni/net.d" "cniBin" "/var/lib/rancher/k3s/data/cni")
  "microk8s" (dict "kubelet" "/var/snap/microk8s/common/var/lib/kubelet" "cniConf" "/var/snap/microk8s/current/args/cni-network" "cniBin" "/var/snap/microk8s/current/opt/cni/bin")
  "openshift" (dict "cniConf" "/etc/cni/multus/net.d" "cniBin" "/var/lib/cni/bin")
}}
{{- $usual := dict "state" "/var/lib/leat" "netns" "/run/netns" "kubelet" "/var/lib/kubelet" "cniConf" "/etc/cni/net.d" "cniBin" "/opt/cni/bin" }}
{{- index .root.Values.paths .of | default (index (index $platforms .root.Values.platform | default dict) .of) | default (index $usual .of) }}
{{- end }}

{{- /* Whether certificates come from an authority of the cluster; else each node has its own. */}}
{{- define "leat.remoteCa" -}}
{{ if or .Values.ca.enabled .Values.ca.external.address }}yes{{ end }}
{{- end }}

{{- define "leat.seccompFile" -}}
leat/proxy-{{ .Release.Namespace }}.json
{{- end }}
