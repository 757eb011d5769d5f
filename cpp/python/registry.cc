// Rows, parameter tables, tile functions and the processor, as Python sees them.
#include "exec/registry.h"

#include "exec/denormals.h"
#include "exec/program.h"
#include "python/module.h"

namespace arenaut {
namespace {

py::dict describe(const arn_row& r, int index) {
  py::dict d;
  d["index"] = index;
  d["name"] = r.name;
  d["family"] = r.family;
  d["tier"] = r.tier;
  d["features"] = r.features;
  d["signature"] = r.signature;
  d["access"] = r.access;
  d["inplace"] = r.inplace;
  d["tile"] = (r.flags & ARN_ROW_TILE) != 0;
  d["packs"] = (r.flags & ARN_ROW_PACK) != 0;
  return d;
}

py::dict describe_cpu() {
  const Cpu& c = cpu();
  py::dict d;
  d["vendor"] = c.vendor;
  d["tier"] = c.target.tier;
  d["tier_name"] = tier_name(c.target.tier);
  d["reason"] = c.reason;
  d["features"] = c.target.features;
  d["l1d_bytes"] = c.target.l1d_bytes;
  d["l2_bytes"] = c.target.l2_bytes;
  d["l3_bytes"] = c.target.l3_bytes;
  return d;
}

py::list describe_features() {
  py::list out;
  for (const Feature& f : features()) out.append(py::make_tuple(f.name, f.bit, f.least_tier));
  return out;
}

py::dict describe_enumerations() {
  py::dict out;
  for (const Enumeration& e : enumerations()) out[e.name] = e.text;
  return out;
}

py::dict describe_limits() {
  py::dict d;
  d["rank"] = ARN_MAX_RANK;
  d["operands"] = ARN_MAX_OPERANDS;
  d["alignment"] = ARN_ALIGN;
  d["tile_registers"] = ARN_TILE_MAX_REGS;
  d["tile_instructions"] = ARN_TILE_MAX_INSTR;
  d["refused"] = kRefused;
  return d;
}

py::tuple params_of(const std::string& family) {
  for (const arn_params_table& t : params_tables()) {
    if (family != t.family) continue;
    py::list fields;
    for (int i = 0; i < t.n_fields; ++i)
      fields.append(py::make_tuple(t.fields[i].name, t.fields[i].offset, t.fields[i].count, t.fields[i].is_float != 0));
    return py::make_tuple(t.bytes, fields);
  }
  throw py::key_error("no parameter struct for kernel family '" + family + "'");
}

}  // namespace

void register_registry(py::module_& m) {
  m.def("flush_denormals", [] {
    const FloatControl before = float_control();
    set_flush_denormals();
    return static_cast<uint64_t>(before);
  });
  m.def("restore_floats", [](uint64_t control) { set_float_control(static_cast<FloatControl>(control)); });
  m.def(
      "rows",
      [] {
        py::list out;
        for (size_t i = 0; i < rows().size(); ++i) out.append(describe(rows()[i], static_cast<int>(i)));
        return out;
      },
      "Every kernel row that was built: a dict each, in index order.");
  m.def("enumerations", &describe_enumerations, "Enumerations of C by name: their names and numbers as one text.");
  m.def("limits", &describe_limits, "Numbers of contract.h that Python keeps to.");
  m.def("features", &describe_features, "What may stand beside a tier: (name, bit, lowest tier with sources for it).");
  m.def("cpu", &describe_cpu, "The ISA tier this machine allows, why, and its cache sizes in bytes.");
  m.def("params", &params_of, py::arg("family"), "(bytes, [(name, offset, count, is_float)]) of a parameter struct.");
  m.def(
      "tile_functions",
      [] {
        py::list out;
        for (const TileFunction& f : tile_functions()) out.append(py::make_tuple(f.name, f.result, f.a, f.b, f.c));
        return out;
      },
      "(name, result, a, b, c) of every tile function, in index order; dtypes as ONNX numbers, 0 where unused.");
}

}  // namespace arenaut
