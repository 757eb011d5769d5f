// The contract between the native loop and every kernel. Plain C, so that a kernel can be written, tested and replaced
// on its own. Kernels never allocate, never throw, never keep state: what they need is in `bound`, operands and
// scratch.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// An enumeration, and its text for Python, which compares or reads it: name_text is "ARN_OK = 0, ARN_UNSUPPORTED = 1".
#define ARN_ENUM(name, ...) \
  enum { __VA_ARGS__ };     \
  static const char name##_text[] = #__VA_ARGS__

#define ARN_MAX_RANK 8
#define ARN_MAX_OPERANDS 24  // inputs plus outputs of one step
#define ARN_BOUND_MAX 8192   // bytes a bind function may write
#define ARN_ALIGN 64         // alignment of every arena offset, scratch block and packed weight, in bytes

// No buffer is larger, and no view starts or reaches further, in bytes: sums and small products of sizes stay far from
// overflow.
static const int64_t ARN_MAX_BYTES = (int64_t)1 << 46;

// Numbers are those of ONNX TensorProto.DataType. Sub-byte types are held one element per byte.
ARN_ENUM(arn_dtype,
  ARN_NONE = 0,  // an absent optional operand
  ARN_F32 = 1,
  ARN_U8 = 2,
  ARN_I8 = 3,
  ARN_U16 = 4,
  ARN_I16 = 5,
  ARN_I32 = 6,
  ARN_I64 = 7,
  ARN_STRING = 8,  // host segment only
  ARN_BOOL = 9,    // one byte, 0 or 1
  ARN_F16 = 10,
  ARN_F64 = 11,
  ARN_U32 = 12,
  ARN_U64 = 13,
  ARN_C64 = 14,
  ARN_C128 = 15,
  ARN_BF16 = 16,
  ARN_F8E4M3FN = 17,
  ARN_F8E4M3FNUZ = 18,
  ARN_F8E5M2 = 19,
  ARN_F8E5M2FNUZ = 20,
  ARN_U4 = 21,
  ARN_I4 = 22,
  ARN_F4E2M1 = 23,
  ARN_F8E8M0 = 24,
  ARN_U2 = 25,
  ARN_I2 = 26,
  ARN_F6E2M3 = 27,
  ARN_F6E3M2 = 28);

// Status of bind and run. Anything but ARN_OK stops the run; Python raises with node and op.
ARN_ENUM(arn_status,
  ARN_OK = 0,
  ARN_UNSUPPORTED = 1,     // bind: this row does not do these descs
  ARN_SHAPE_MISMATCH = 2,  // bind: dims contradict the op's rule
  ARN_INDEX_OUT_OF_RANGE = 3,
  ARN_DIVISION_BY_ZERO = 4,
  ARN_BAD_VALUE = 5,  // an operand's content is outside what the op defines
  ARN_OVERFLOW = 6,   // a size does not fit
  ARN_CANCELLED = 7);

// ISA tiers, in order. Features refine a tier; kernels/features.inc names them.
ARN_ENUM(arn_tier, ARN_TIER_BASELINE = 0, ARN_TIER_V3 = 1, ARN_TIER_V4 = 2);  // AArch64: baseline is NEON
ARN_ENUM(arn_feature,
  ARN_FEATURE_VNNI = 1,      // AVX512-VNNI
  ARN_FEATURE_BF16 = 2,      // AVX512-BF16
  ARN_FEATURE_AVX_VNNI = 4,  // VNNI on the vectors of v3
  ARN_FEATURE_AMX_INT8 = 8,
  ARN_FEATURE_AMX_BF16 = 16,
  ARN_FEATURE_DOT = 32);                                        // AArch64's dot products of bytes

typedef struct {
  int32_t dtype;                  // ARN_NONE: the operand is absent, nothing else is set
  int32_t rank;                   // 0 .. ARN_MAX_RANK
  int64_t dims[ARN_MAX_RANK];     // >= 0; while packing, -1 is "not known yet"
  int64_t strides[ARN_MAX_RANK];  // in elements; 0 and negative are legal; the pointer addresses index (0, ..., 0)
} arn_desc;

// What bind may know of the machine. The thread count is absent on purpose: the task grid depends on shapes only.
typedef struct {
  int32_t tier;
  uint32_t features;
  int64_t l1d_bytes, l2_bytes, l3_bytes;  // L1 and L2 per core
} arn_target;

// One instruction of a tile program: regs[dst][i] = fn(regs[a][i], regs[b][i], regs[c][i]) for i < n.
typedef struct {
  uint16_t fn;  // index into the tile function table, the same on every tier
  uint8_t dst, a, b, c;
} arn_tile_instr;

#define ARN_TILE_MAX_REGS 32
#define ARN_TILE_MAX_INSTR 64

// An elementwise program over tile registers. Register r holds elements of compute type reg_dtype[r].
//   registers [0, n_in)             operands, converted from their storage type at load, broadcast to the output's dims
//   registers [n_in, n_in + n_imm)  immediates: imm[k] is the bit pattern of one element of that register's type
//   the rest                        temporaries
// As an epilogue, register 0 is the block just computed by the anchor (no operand of its own); register r >= 1 is the
// step's input operand first_operand + r - 1, broadcast against output 0. As a program of its own (family Tile),
// register r is input operand r (first_operand = 0). Output o is stored from register out_reg[o], converted to the
// storage type of output o.
typedef struct {
  int32_t n_instr, n_in, n_imm, n_regs, n_out, first_operand;
  uint8_t reg_dtype[ARN_TILE_MAX_REGS];
  uint8_t out_reg[ARN_MAX_OPERANDS];
  uint64_t imm[ARN_TILE_MAX_REGS];
  arn_tile_instr instr[ARN_TILE_MAX_INSTR];
} arn_tile;

typedef struct {
  int32_t n_in, n_out;
  const arn_desc* operand;      // n_in inputs, then n_out outputs
  const void* const* constant;  // per operand: its bytes when it is a constant known at load, else NULL
  const void* params;           // the family's parameter struct, or NULL
  const arn_tile* tile;         // epilogue or program, or NULL
  const arn_target* target;
  uint32_t packed;  // bit i: operand i arrives in this row's packed form (see pack)
} arn_bind_args;

// Shared by all tasks of a run. Kernels only ask arn_stopped; any thread of the run may set the flag meanwhile.
typedef struct {
  int32_t stop;  // read and written atomically
} arn_state;

// True: return ARN_CANCELLED at the next task boundary.
static inline int32_t arn_stopped(const arn_state* state) {
  return __atomic_load_n(&state->stop, __ATOMIC_RELAXED) != 0;
}
static inline void arn_stop(arn_state* state) { __atomic_store_n(&state->stop, 1, __ATOMIC_RELAXED); }

// Runs tasks [begin, end). Every output element is produced by the same instructions in the same order whatever the
// split. operand[i] addresses index (0, ..., 0) of operand i. step_scratch is shared by the step's tasks (a kernel
// that needs it filled first is two steps); thread_scratch belongs to this call. Both are 64-byte aligned.
typedef int32_t (*arn_run_fn)(const void* bound, void* const* operand, int64_t begin, int64_t end, void* step_scratch,
                              void* thread_scratch, const arn_state* state);

// Filled by bind. `bound` (at most ARN_BOUND_MAX bytes, 64-byte aligned, pointer-free: it is copied) is the row's own.
typedef struct {
  arn_run_fn run;
  int64_t tasks;           // >= 0; a function of descs and params only
  int64_t step_scratch;    // bytes
  int64_t thread_scratch;  // bytes
  int64_t bound_bytes;     // how many bytes of bound are in use
  const char* variant;     // a static string naming the code path, for profiles
} arn_bound;

typedef int32_t (*arn_bind_fn)(const arn_bind_args* args, arn_bound* out, void* bound);

// Packed weights: once at load. pack_bytes returns 0 when this row does not pack that operand for these args. The form
// depends only on the constant operand, the params and the target, never on the other operands' dims (they may be -1).
typedef int64_t (*arn_pack_bytes_fn)(const arn_bind_args* args, int32_t operand);
typedef void (*arn_pack_fn)(const arn_bind_args* args, int32_t operand, void* dst);

// One member of a parameter struct. All members are int64_t or double, or arrays of them.
typedef struct {
  const char* name;
  int32_t offset;  // bytes
  int32_t count;   // elements
  int32_t is_float;
} arn_field;

typedef struct {
  const char* family;
  int32_t bytes;
  int32_t n_fields;
  const arn_field* fields;
} arn_params_table;

enum {
  ARN_ROW_TILE = 1,  // takes a tile program: its own (family Tile), or an epilogue
  ARN_ROW_PACK = 2,  // has pack functions
};

typedef struct {
  const char* name;    // unique within a tier, e.g. "matmul_f32"
  const char* family;  // what lowering asks for, e.g. "MatMul"
  int32_t tier;
  uint32_t features;  // all of these must be present
  const char*
      signature;        // dtypes by operand, inputs>outputs: "f32,f32,f32?>f32". "f32|f16" alternatives, "*1" "*2"
                        // "*4" "*8" "*16" any type of that many bytes, "any", "?" may be absent, "..." the last repeats
  const char* access;   // a letter an operand: 's' any strides, 'u' unit stride in the last dim, 'd' dense row-major;
                        // "su>d"; the last letter of a side repeats
  const char* inplace;  // pairs "output<input", blank-separated: that output may overwrite that input when both have
                        // the same dims, strides and element size
  uint32_t flags;
  arn_bind_fn bind;
  arn_pack_bytes_fn pack_bytes;
  arn_pack_fn pack;
} arn_row;

// A tile function: flat, any n >= 0, dst may equal any source, otherwise they do not overlap. Tile registers are
// 64-byte aligned and padded to a multiple of 64 bytes; operands used in place need not be.
typedef void (*arn_tile_fn)(int64_t n, void* dst, const void* a, const void* b, const void* c);

#ifdef __cplusplus
}
#endif
