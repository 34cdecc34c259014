// Ten GPUs in the format of cuDNN's DEVICEPROP descriptor (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), with NVIDIA's
// published numbers.

// biome-ignore format: columns
const rows = {
  //        name                       capability  SMs  shared KiB  blocks  threads  GiB  kHz of memory  its bits  kHz of SMs  L2 MiB
  t4:      ["Tesla T4",                       750,  40,         64,     16,    1024,  15,       5001000,      256,    1590000,      4],
  a100:    ["NVIDIA A100-SXM4-80GB",          800, 108,        163,     32,    2048,  79,       1593000,     5120,    1410000,     40],
  a10:     ["NVIDIA A10",                     860,  72,         99,     16,    1536,  22,       6251000,      384,    1695000,      6],
  rtx3090: ["NVIDIA GeForce RTX 3090",        860,  82,         99,     16,    1536,  24,       9751000,      384,    1695000,      6],
  l4:      ["NVIDIA L4",                      890,  58,         99,     24,    1536,  22,       6251000,      192,    2040000,     48],
  rtx4090: ["NVIDIA GeForce RTX 4090",        890, 128,         99,     24,    1536,  24,      10501000,      384,    2520000,     72],
  h100:    ["NVIDIA H100 80GB HBM3",          900, 132,        227,     32,    2048,  79,       2619000,     5120,    1980000,     50],
  h200:    ["NVIDIA H200",                    900, 132,        227,     32,    2048, 140,       3201000,     6144,    1980000,     60],
  b200:    ["NVIDIA B200",                   1000, 148,        227,     32,    2048, 179,       3996000,     8192,    1965000,    126],
  rtx5090: ["NVIDIA GeForce RTX 5090",       1200, 170,         99,     24,    1536,  31,      14001000,      512,    2407000,     96],
} as const;

/** The values of `vgg plan --gpu`. */
export type GpuName = keyof typeof rows;

export const gpuNames = Object.keys(rows) as GpuName[];

/** The GPU's name as its driver reports it. */
export const nameOf = (gpu: GpuName): string => rows[gpu][0];

/** The compute capability as NVRTC's -arch=sm_ takes it: 90 for 9.0. */
export const architectureOf = (gpu: GpuName): number => rows[gpu][1] / 10;

/** Returns the description as JSON. cuDNN 9.10 to 9.28 require these keys and ignore others. */
export function describeGpu(gpu: GpuName): string {
  const [
    deviceName,
    deviceVer,
    multiProcessorCount,
    shared,
    maxCtasPerSM,
    maxThreadsPerSM,
    ...rest
  ] = rows[gpu];
  const [memory, memClockRateKHz, memoryBusWidth, smClockRateKHz, l2] = rest;
  const description = {
    cudaDeviceId: 0,
    deviceName,
    deviceVer,
    driverVer: 13000,
    maxGridSize: [2 ** 31 - 1, 65535, 65535],
    maxBlockSize: [1024, 1024, 64],
    regsPerBlock: 65536,
    multiProcessorCount,
    warpSize: 32,
    maxSharedMemoryPerBlock: 48 * 1024,
    maxSharedMemoryPerBlockOptin: shared * 1024,
    oversizedSharedMemoryPerBlock: shared * 1024,
    reservedSharedMemoryPerBlock: deviceVer < 800 ? 0 : 1024,
    maxRegistersPerSM: 65536,
    maxCtasPerSM,
    maxThreadsPerBlock: 1024,
    maxThreadsPerSM,
    pciDeviceId: 0,
    isTccDriver: 0,
    supportCoopLaunch: 1,
    smCountOrigin: 0,
    totalGlobalMem: memory * 2 ** 30,
    smClockRateKHz,
    memClockRateKHz,
    memoryBusWidth,
    l2CacheSize: l2 * 2 ** 20,
  };
  return JSON.stringify(description, null, 1);
}
