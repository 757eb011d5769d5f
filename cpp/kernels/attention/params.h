#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_attention_params,
  (double, scale),            // of Q K^T
  (double, softcap),          // > 0: scores become softcap * tanh(scores / softcap) before the mask
  (int64_t, causal),          // 1: query i sees keys 0 .. i + causal_offset
  (int64_t, causal_offset),   // may be negative
  (int64_t, rounded));  // HalfAttention: operands and weights become the nearest bfloat16 before products
