// The matrix product core of this tier for f64, and for the integers, which have no rows of their own on v4.
#include "kernels/matmul/pass.h"

template void ARN_NS::gemm_pass<double>(const GemmPass<double>&);
#if ARN_TIER_LEVEL <= 1
template void ARN_NS::gemm_pass<uint32_t>(const GemmPass<uint32_t>&);
template void ARN_NS::gemm_pass<uint64_t>(const GemmPass<uint64_t>&);
#endif
