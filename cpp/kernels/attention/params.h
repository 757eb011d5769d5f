#pragma once

#include <stdint.h>

typedef struct {
  double scale;           // of Q K^T
  double softcap;         // > 0: scores become softcap * tanh(scores / softcap) before the mask
  int64_t causal;         // 1: query i sees keys 0 .. i + causal_offset
  int64_t causal_offset;  // may be negative
} arn_attention_params;
