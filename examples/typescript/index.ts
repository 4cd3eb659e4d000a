// The components from TypeScript: a model on a cluster that is already there, weights in the volume claim "weights".
// Before the first run: pulumi package add PATH/llm-serving/components (or its URL: components/README.md)

import * as k8s from "@pulumi/kubernetes";
import * as llm from "@pulumi/llm-serving";
import * as pulumi from "@pulumi/pulumi";

const config = new pulumi.Config();
const node = { accelerator: "RTX-A6000", cpu: 16, memoryGib: 128 };
const release = {
  name: "qwen3-8b",
  version: "1.0.0",
  engine: { version: "0.32.0" },
  image: { repository: "docker.io/vllm/vllm-openai", tag: "v0.32.0" },
  model: {
    architecture: "qwen3-8b",
    repository: "Qwen/Qwen3-8B",
    revision: "b968826d9c46dd6066d109eabc6255188de91218",
    license: "Apache-2.0",
  },
  contextLength: 8192,
};

const cluster = new llm.ExistingCluster("lab", { kubeconfig: config.requireSecret("kubeconfig") });
const kubernetes = new k8s.Provider("lab", { kubeconfig: cluster.kubeconfig, clusterIdentifier: "lab" });
const pool = new llm.ExistingPool("a6000", {
  pool: {
    name: "a6000",
    gpusPerNode: 2,
    nodeSelector: { "example.com/gpu": "a6000" },
    tolerations: [{ key: "nvidia.com/gpu", effect: "NoSchedule" }],
    ...node,
  },
});
const team = new llm.TeamNamespace("chat", { team: { name: "chat" }, gpuQuota: 2 }, { providers: [kubernetes] });
const priorities = new llm.PriorityClasses("priorities", {}, { providers: [kubernetes] });
const weights = new llm.ExistingModelCache(
  "weights",
  {
    claim: "weights",
    storage: { sizeGib: 100, storageClass: "shared", accessMode: "ReadWriteMany" },
    namespace: team.namespace,
  },
  { providers: [kubernetes] },
);
const identity = new llm.ExistingWorkloadIdentity("qwen3-8b", { namespace: "chat", serviceAccount: "qwen3-8b" });

const model = new llm.ModelService(
  "qwen3-8b",
  {
    model: { name: "qwen3-8b", team: "chat", pool: "a6000", releases: { stable: "1.0.0" } },
    releases: [release],
    node: { gpus: 2, ...node },
    namespace: team.namespace,
    scheduling: pool.scheduling,
    cache: weights.volume,
    identity: identity.binding,
  },
  { providers: [kubernetes], dependsOn: [team, priorities] },
);

export const url = model.url;
