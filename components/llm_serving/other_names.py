"""What settings are called elsewhere, in Kubernetes, KEDA, engines and clouds: who types such a name means one of ours.

Names are in small letters without separators. A path is that of a setting, from a model, a pool or the stack on; where
a setting stands inside one of these, only its end counts.
"""

import re
from collections.abc import Sequence


def meant_settings(key: str) -> Sequence[str]:
    """Paths of ours that a key of another tool may mean; empty where it is none that is known."""
    return _SETTINGS.get(_bare(key), ())


def meant_value(value: str) -> str:
    """What a value of another tool is called here; empty where it is none that is known."""
    return _VALUES.get(_bare(value), "")


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


PATHS: dict[str, str] = {
    # Models.
    "autoscaling": "scaling hpa keda scaledobject autoscaler horizontalpodautoscaler",
    "autoscaling.min": "minreplicas minreplicacount minscale mininstances",
    "autoscaling.max": "maxreplicas maxreplicacount maxscale maxinstances",
    "autoscaling.pace.downSeconds": "cooldownperiod cooldown cooldownseconds scaledowndelay stabilizationwindowseconds",
    "autoscaling.pace.upSeconds": "scaleupdelay",
    "autoscaling.pollingSeconds": "pollinginterval pollingintervalseconds",
    "autoscaling.queueDepth": "queuelength queuesize targetvalue threshold target numrequestswaiting",
    "autoscaling.schedules": "schedule cron crons",
    "autoscaling.ttftSeconds": "ttft targetttft latency targetlatency",
    "autoscaling.schedules.replicas": "desiredreplicas",
    "replicas": "replicacount instances instancecount desiredreplicas",
    "pool": "nodepool nodegroup nodeselector affinity nodename tolerations",
    "team": "namespace tenant owner",
    "surge": "maxsurge strategy updatestrategy rollingupdate",
    "serviceClass": "priority priorityclass priorityclassname",
    "releases.stable": "image tag imagetag engineimage containerimage release version modelversion model modelid "
    "modelname modelpath hfmodel repository revision maxmodellen contextlength contextwindow quantization dtype "
    "kvcachedtype chattemplate toolcallparser reasoningparser",
    "releases.canary": "canary",
    "tensorParallelism": "gpu gpus gpucount numgpus tensorparallelsize tpsize tp resources limits requests "
    "acceleratorcount",
    "gpuMemoryUtilization": "gpumemory memfractionstatic gpumemutil",
    "minConcurrency": "concurrency",
    "warmPool.placeholders": "overprovisioning warmpoolsize placeholders headroom",
    "engine": "vllm sglang container serving runtime",
    "engine.environment": "env envs envvars environmentvariables extraenv",
    "engine.flags": "args extraargs engineargs vllmargs command commandline extraflags",
    "engine.maxSequences": "maxnumseqs maxbatchsize batchsize maxconcurrency maxrunningrequests",
    "engine.maxBatchedTokens": "maxnumbatchedtokens maxprefilltokens",
    "engine.maxQueuedRequests": "maxqueuesize maxqueuedepth",
    "engine.pipelineParallelism": "pipelineparallelsize ppsize pp",
    "engine.dataParallelism": "dataparallelsize dpsize dp",
    "engine.expertParallel": "enableexpertparallel epsize ep",
    "engine.chunkedPrefill": "enablechunkedprefill chunkedprefillsize",
    "engine.prefixCaching": "enableprefixcaching enableradixcache",
    "engine.nodes": "nnodes numnodes nodecount",
    "engine.graphSizes": "cudagraphsizes cudagraphcapturesizes",
    "engine.mediaPerPrompt": "limitmmperprompt",
    "drain.shutdownTimeoutSeconds": "terminationgraceperiodseconds graceperiodseconds graceperiod shutdowntimeout",
    "drain.preStopSeconds": "prestop prestopsleep",
    "timeouts.startupSeconds": "progressdeadlineseconds startupprobe readinessprobe livenessprobe initialdelayseconds "
    "startuptimeout",
    # Pools.
    "accelerator": "gpu gputype gpumodel acceleratortype gpuname",
    "gpusPerNode": "gpus gpucount numgpus acceleratorcount",
    "capacity": "nodes machines offers entries",
    "machineType": "instancetype instancetypes machine vmtype nodetype vmsize",
    "market": "spot preemptible capacitytype provisioningmodel purchaseoption",
    "min": "minnodes minsize mincount minnodecount",
    "max": "maxnodes maxsize maxcount maxnodecount nodecount count",
    "nodes": "nodecount size count",
    "zones": "zone availabilityzones availabilityzone locations nodelocations",
    "diskGb": "disksize disksizegb bootdisksize bootdisksizegb disk",
    "localSsd": "localssdcount nvme ephemeralstoragelocalssd",
    "labels": "nodelabels tags resourcelabels",
    "sharing.partition": "mig migprofile gpupartitionsize",
    "sharing.clients": "maxsharedclientspergpu timeslices",
    "sharing.strategy": "gpusharingstrategy timeslicing",
    "reservation": "reservationname reservationaffinity capacityreservation",
    "memoryGib": "memory ram",
    "cpu": "cpus vcpus cores",
    "idleMinutes": "scaledownunneededtime idletimeout consolidateafter",
    "nodeSelector": "selector nodeaffinity",
    "tolerations": "taints",
    # The stack.
    "project": "projectid gcpproject",
    "region": "location gcpregion awsregion",
    "pools": "nodepools nodegroups workergroups",
    "teams": "namespaces tenants",
    "models": "services deployments inferenceservices",
    "modelCache": "bucket cache cachebucket storage",
    "modelCache.softDeleteDays": "softdeleteretention",
    "registry": "artifactregistry imageregistry",
    "network": "vpc",
    "network.nodes": "subnet subnetwork subnetrange",
    "network.pods": "podcidr podrange clusteripv4cidr",
    "network.services": "servicecidr servicerange servicesipv4cidr",
    "imagePull.secretNames": "imagepullsecrets pullsecrets",
    "addons.prometheusUrl": "prometheus prometheusserver serveraddress",
    "egress.httpsProxy": "proxy",
    "gpuQuota": "quota resourcequota",
    "viewers": "readers",
    "editors": "admins members developers",
    "cluster.version": "kubernetesversion clusterversion masterversion minmasterversion k8sversion",
    "cluster.releaseChannel": "channel upgradechannel",
    "cluster.access.authorized": "authorizednetworks masterauthorizednetworks",
    "cluster.access.mode": "privatecluster privateendpoint",
    "cluster.maintenance": "maintenancewindow maintenancepolicy",
    "cluster.maintenance.recurrence": "rrule",
    "cluster.maxPodsPerNode": "maxpods",
    "cluster.systemPool": "defaultpool systemnodepool",
    "cluster.context": "kubecontext kubeconfigcontext",
    "loader.source": "uri url storageuri modelsource",
    "loader.timeoutSeconds": "timeout activedeadlineseconds",
    "loader.image": "loaderimage",
}
"""Names elsewhere by path here."""

_SETTINGS: dict[str, list[str]] = {}
for _path, _names in PATHS.items():
    for _name in _names.split():
        _SETTINGS.setdefault(_name, []).append(_path)

_VALUES = {
    "preemptible": "spot",
    "ondemandinstance": "on-demand",
    "standard": "on-demand",
    "reserved": "reservation",
    "dws": "flex-start",
    "queued": "flex-start",
    "rwo": "ReadWriteOnce",
    "rwx": "ReadWriteMany",
    "high": "critical",
    "guaranteed": "critical",
    "low": "batch",
    "besteffort": "batch",
    "timeslicing": "time-sharing",
    "mps": "",
}
"""Values here by what they are called elsewhere."""
