#include "kernels/copy/plane.h"

#if ARN_TIER_LEVEL <= 1
namespace ARN_NS {

void transpose_16(const char* src, char* dst, const Plane& p) { strided_plane<Element<16>::type>(src, dst, p); }
void strided_16(const char* src, char* dst, const Plane& p) { strided_plane<Element<16>::type>(src, dst, p); }

}  // namespace ARN_NS
#endif
