// The package loads its addon from its own folder, so it stays out of the bundle.
export default { serverExternalPackages: ["vgg-cudnn"] };
