#pragma once

#include "kernels/params.h"

// CumSum, CumProd
ARN_PARAMS(arn_running_params,
  (int64_t, axis),       // 0 <= axis < rank
  (int64_t, exclusive),  // element i holds what comes before i
  (int64_t, reverse));  // from the last element to the first

ARN_PARAMS(arn_trilu_params,
  (int64_t, upper),  // 1: keeps column >= row + k, 0: column <= row + k
  (int64_t, k));

ARN_PARAMS(arn_one_hot_params,
  (int64_t, axis));  // of the output, 0 <= axis < rank

ARN_PARAMS(arn_reverse_sequence_params,
  (int64_t, batch_axis), (int64_t, time_axis));  // different

ARN_PARAMS(arn_unique_params,
  (int64_t, sorted));  // 0: in order of appearance

#define ARN_GRAM_MOST 16  // elements of an n-gram

ARN_ENUM(arn_gram_mode, ARN_GRAM_TF, ARN_GRAM_IDF, ARN_GRAM_TFIDF);

ARN_PARAMS(arn_gram_params,
  (int64_t, mode),                        // ARN_GRAM_*
  (int64_t, smallest), (int64_t, largest),  // elements of the n-grams that count, at most ARN_GRAM_MOST
  (int64_t, steps),                       // elements of an n-gram lie 1 to so many apart
  (int64_t, base),                        // of codes: elements of the vocabulary and 1
  (int64_t, begin, [ARN_GRAM_MOST + 1]));  // codes [begin[n - 1], begin[n]) are of n elements
