#include "kernels/copy/plane.h"

#if ARN_TIER_LEVEL <= 1
namespace ARN_NS {

void transpose_8(const char* src, char* dst, const Plane& p) { transpose_plane<Element<8>::type>(src, dst, p); }
void strided_8(const char* src, char* dst, const Plane& p) { strided_plane<Element<8>::type>(src, dst, p); }
void repeat_8(const char* src, char* dst, const Repeats& r) { repeat_plane<Element<8>::type>(src, dst, r); }

}  // namespace ARN_NS
#endif
