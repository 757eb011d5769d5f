#include "kernels/reduce/reduce.h"

ARN_DEFINE_BIND(reduce_f32) {
  using namespace ARN_NS;
  return bind_reduce<float>(args, out, bound, reduce_tasks<float, reduce_range<float>>);
}
