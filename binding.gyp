# node-gyp's entry to the same build: CMakeLists.txt lists the sources, and cmake-js runs it.
{
  "targets": [
    {
      "target_name": "vgg_cudnn",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake-js",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(module_root_dir)/build/Release/vgg_cudnn.node"],
          "action": ["node", "<!(node -p \"require.resolve('cmake-js/bin/cmake-js')\")", "compile", "--directory", "<(module_root_dir)", "--log-level", "warn", "--parallel", "4"]
        }
      ]
    }
  ]
}
