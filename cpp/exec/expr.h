// The dims of a program: one table of expressions over int64 symbols, evaluated in one overflow-checked sweep.
#pragma once

#include <cstdint>
#include <vector>

namespace arenaut {

// As ARN_ENUM, a class.
#define ARN_ENUM_CLASS(name, ...)            \
  enum class name : int32_t { __VA_ARGS__ }; \
  inline constexpr char name##Text[] = #__VA_ARGS__

ARN_ENUM_CLASS(ExprOp, kConst, kSymbol, kAdd, kSub, kMul, kFloorDiv, kCeilDiv, kMod, kMin, kMax, kEq, kLt, kSelect);

// Operands are indices of earlier expressions, except: kConst's a is the value, kSymbol's a the symbol index.
struct Expr {
  ExprOp op;
  int64_t a = 0, b = 0, c = 0;
};

// The value of e over the values of earlier expressions and the symbols; false when it does not fit an int64.
// Division by zero gives 0, as arenaut.ir.dims says.
bool evaluate(const Expr& e, const int64_t* values, const int64_t* symbols, int64_t* out);

}  // namespace arenaut
