// The tests of the fake CUDA libraries, in the order in which main runs them.
#pragma once

// cudnn_test.cc
void convolutionsAgreeWithPlainLoops();
void plansSurviveAsText();
void plansAreMadeWithoutADevice();
void descriptorsAreChecked();
// cublaslt_test.cc
void matricesAgreeWithPlainLoops();
// driver_test.cc
void streamsAndGraphsKeepTheirOrder();
// own_kernels_test.cc
void ownKernelsAreCompiledAndRun();
// driver_test.cc
void callsFailWhereAsked();
// cudnn_test.cc: last, because the device is lost afterwards.
void wrongAddressLosesTheDevice();
