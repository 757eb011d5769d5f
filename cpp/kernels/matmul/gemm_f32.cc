// The f32 matrix product core of this tier.
#include "kernels/matmul/pass.h"

template void ARN_NS::gemm_pass<float>(const GemmPass<float>&);
