#pragma once

#include "kernels/params.h"

// The activations of a recurrent cell, in the order that ir/ops/recurrent.py numbers them.
ARN_ENUM(arn_activation,
  ARN_ACT_SIGMOID = 0,
  ARN_ACT_TANH = 1,
  ARN_ACT_RELU = 2,
  ARN_ACT_AFFINE = 3,
  ARN_ACT_LEAKY_RELU = 4,
  ARN_ACT_THRESHOLDED_RELU = 5,
  ARN_ACT_SCALED_TANH = 6,
  ARN_ACT_HARD_SIGMOID = 7,
  ARN_ACT_ELU = 8,
  ARN_ACT_SOFTSIGN = 9,
  ARN_ACT_SOFTPLUS = 10);

ARN_ENUM(arn_cell,
  ARN_CELL_RNN = 0,
  ARN_CELL_GRU = 1,         // the reset gate scales the state before its product
  ARN_CELL_GRU_LINEAR = 2,  // ... after it (linear_before_reset)
  ARN_CELL_LSTM = 3);

ARN_PARAMS(arn_recurrent_params,
  (int64_t, cell),             // one of ARN_CELL_*
  (int64_t, backward),         // direction 0 walks the sequence from its end; direction 1 always does
  (int64_t, input_forget),     // LSTM: the forget gate is 1 - the input gate
  (double, clip),              // > 0: arguments of the gates' activations are cut to +-clip
  (int64_t, activation, [6]),  // three a direction: f, g, h
  (double, alpha, [6]), (double, beta, [6]));
