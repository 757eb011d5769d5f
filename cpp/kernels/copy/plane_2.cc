#include "kernels/copy/plane.h"

#if ARN_TIER_LEVEL <= 1
namespace ARN_NS {

void transpose_2(const char* src, char* dst, const Plane& p) { transpose_plane<Element<2>::type>(src, dst, p); }
void strided_2(const char* src, char* dst, const Plane& p) { strided_plane<Element<2>::type>(src, dst, p); }

}  // namespace ARN_NS
#endif
