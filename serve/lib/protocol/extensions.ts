// The extensions of the protocol that both front ends have, by Triton's names.

/** What the server's metadata lists. */
export const extensions = Object.freeze([
  "binary_tensor_data",
  "classification",
  "schedule_policy",
  "parameters",
  "model_configuration",
  "statistics",
  "model_repository",
] as const);
