#include "exec/expr.h"

#include <limits>

namespace arenaut {
namespace {

bool floor_div(int64_t a, int64_t b, int64_t* out) {
  if (b == 0) {
    *out = 0;
    return true;
  }
  if (a == std::numeric_limits<int64_t>::min() && b == -1) return false;
  const int64_t q = a / b;
  *out = q - ((a % b != 0) && ((a < 0) != (b < 0)) ? 1 : 0);
  return true;
}

}  // namespace

bool evaluate(const Expr& e, const int64_t* values, const int64_t* symbols, int64_t* out) {
  const auto at = [values](int64_t i) { return values[i]; };
  switch (e.op) {
    case ExprOp::kConst:
      *out = e.a;
      return true;
    case ExprOp::kSymbol:
      *out = symbols[e.a];
      return true;
    case ExprOp::kAdd:
      return !__builtin_add_overflow(at(e.a), at(e.b), out);
    case ExprOp::kSub:
      return !__builtin_sub_overflow(at(e.a), at(e.b), out);
    case ExprOp::kMul:
      return !__builtin_mul_overflow(at(e.a), at(e.b), out);
    case ExprOp::kFloorDiv:
      return floor_div(at(e.a), at(e.b), out);
    case ExprOp::kCeilDiv: {
      int64_t negated = 0, q = 0;
      if (__builtin_sub_overflow(int64_t{0}, at(e.a), &negated) || !floor_div(negated, at(e.b), &q)) return false;
      return !__builtin_sub_overflow(int64_t{0}, q, out);
    }
    case ExprOp::kMod: {
      int64_t q = 0;
      if (!floor_div(at(e.a), at(e.b), &q)) return false;
      *out = at(e.b) == 0 ? 0 : at(e.a) - q * at(e.b);
      return true;
    }
    case ExprOp::kMin:
      *out = at(e.a) < at(e.b) ? at(e.a) : at(e.b);
      return true;
    case ExprOp::kMax:
      *out = at(e.a) > at(e.b) ? at(e.a) : at(e.b);
      return true;
    case ExprOp::kEq:
      *out = at(e.a) == at(e.b);
      return true;
    case ExprOp::kLt:
      *out = at(e.a) < at(e.b);
      return true;
    case ExprOp::kSelect:
      *out = at(e.a) != 0 ? at(e.b) : at(e.c);
      return true;
  }
  return false;
}

}  // namespace arenaut
