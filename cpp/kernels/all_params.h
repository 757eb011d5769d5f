// Every family's parameter struct.
#pragma once

#include "contract.h"
#include "kernels/attention/params.h"
#include "kernels/conv/params.h"
#include "kernels/copy/params.h"
#include "kernels/gather/params.h"
#include "kernels/index/params.h"
#include "kernels/matmul/params.h"
#include "kernels/norm/params.h"
#include "kernels/pad/params.h"
#include "kernels/pool/params.h"
#include "kernels/reduce/params.h"
#include "kernels/resize/params.h"
#include "kernels/rotary/params.h"
#include "kernels/softmax/params.h"
#include "kernels/topk/params.h"
