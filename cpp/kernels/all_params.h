// Every family's parameter struct.
#pragma once

#include "contract.h"
