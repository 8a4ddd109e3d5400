export { type AdmissionKind, admissionOf } from './admission.ts';
export { type Deployed, type DeployOptions, deployServers } from './deploy.ts';
export { flagInvalid } from './faults.ts';
export { manifestsOf, objectName } from './objects.ts';
export { renderObjects, renderServer } from './render.ts';
export type { Cluster, Deployable, KubernetesObject, Manifests, Pods } from './types.ts';
