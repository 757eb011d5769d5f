// Every family's parameter struct.
#pragma once

#include "contract.h"
#include "kernels/copy/params.h"
#include "kernels/matmul/params.h"
