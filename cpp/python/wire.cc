// Reads protobuf's wire format into plain Python objects, in one pass over bytes that stay where they are.
//
// A message is a row of fields: a varint key (field number * 8 + wire type), then a varint, 4 or 8 bytes, or a length
// and that many bytes. Which fields a message has is a table that Python gives: fields that it does not name are passed
// over. Repeated numbers become arrays, tensor data becomes its place in the buffer. The bytes are not trusted: every
// length is checked against what is left of the enclosing message, and nesting and the number of messages are limited.
#include <pybind11/numpy.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "python/module.h"

namespace arenaut {
namespace {

constexpr int kMaxDepth = 100;               // protobuf's own limit
constexpr int64_t kMaxMessages = 1LL << 24;  // each takes some hundred bytes here
constexpr uint32_t kMaxNumber = 31;          // field numbers of ONNX are below
constexpr int64_t kInternedBytes = 128;      // names this short are kept once
constexpr uint64_t kRecentBytes = 32;
constexpr uint32_t kRecent = 64;

enum class Kind : uint8_t { kNone, kInt, kFloat, kText, kBytes, kSpan, kMessage, kInts, kUints, kFloats, kDoubles };

struct Field {
  Kind kind = Kind::kNone;
  bool repeated = false;  // texts, bytes and messages: a list
  int child = -1;         // of a message: its type
  PyObject* name = nullptr;
};

struct MessageType {
  py::object cls;
  Field fields[kMaxNumber + 1];
};

struct Malformed {};

class Cursor {
 public:
  Cursor(const uint8_t* at, const uint8_t* end) : at_(at), end_(end) {}
  bool more() const { return at_ < end_; }
  const uint8_t* at() const { return at_; }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ < end_; shift += 7) {
      const uint8_t byte = *at_++;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw Malformed();
  }
  const uint8_t* take(uint64_t bytes) {
    if (bytes > static_cast<uint64_t>(end_ - at_)) throw Malformed();
    const uint8_t* from = at_;
    at_ += bytes;
    return from;
  }
  template <typename T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));  // protobuf is little-endian, as are all processors we build for
    return value;
  }

 private:
  const uint8_t *at_, *end_;
};

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

// The numbers of one repeated field while its message is read.
struct Numbers {
  std::vector<int64_t> whole;
  std::vector<float> singles;
  std::vector<double> doubles;
};

template <typename T>
py::array array_of(const std::vector<T>& items) {
  py::array_t<T> out(static_cast<py::ssize_t>(items.size()));
  if (!items.empty()) std::memcpy(out.mutable_data(), items.data(), items.size() * sizeof(T));
  return out;
}

py::array array_of(const Numbers& n, Kind kind) {
  if (kind == Kind::kFloats) return array_of(n.singles);
  if (kind == Kind::kDoubles) return array_of(n.doubles);
  py::array out = array_of(n.whole);
  return kind == Kind::kUints ? out.attr("view")("uint64").cast<py::array>() : out;
}

template <typename T>
void append(std::vector<T>* to, const uint8_t* from, uint64_t bytes) {
  if (bytes % sizeof(T) != 0) throw Malformed();
  const size_t old = to->size();
  to->resize(old + bytes / sizeof(T));
  if (bytes != 0) std::memcpy(to->data() + old, from, bytes);
}

void append_varints(std::vector<int64_t>* to, const uint8_t* from, uint64_t bytes) {
  size_t count = 0;
  for (uint64_t i = 0; i < bytes; ++i) count += from[i] < 0x80;
  to->reserve(to->size() + count);
  Cursor c(from, from + bytes);
  while (c.more()) to->push_back(static_cast<int64_t>(c.varint()));
}

py::object text_of(const uint8_t* from, uint64_t bytes) {
  PyObject* made = PyUnicode_DecodeUTF8(reinterpret_cast<const char*>(from), static_cast<Py_ssize_t>(bytes), "strict");
  if (made == nullptr) {  // as protobuf gives it: the importer names it
    PyErr_Clear();
    return py::bytes(reinterpret_cast<const char*>(from), bytes);
  }
  if (bytes <= kInternedBytes) PyUnicode_InternInPlace(&made);
  return py::reinterpret_steal<py::object>(made);
}

class WireReader {
 public:
  // table: message name -> (class, {number: (attribute, kind)}); kind: a word of kind_of, or a message's name, with "*"
  // behind it where it repeats.
  explicit WireReader(const py::dict& table) {
    for (const auto& item : table) names_.push_back(item.first.cast<std::string>());
    for (const auto& item : table) {
      const auto entry = item.second.cast<py::tuple>();
      auto type = std::make_unique<MessageType>();
      type->cls = entry[0];
      for (const auto& f : entry[1].cast<py::dict>()) {
        const auto number = f.first.cast<uint32_t>();
        if (number == 0 || number > kMaxNumber) throw py::value_error("field number out of range");
        const auto what = f.second.cast<py::tuple>();
        type->fields[number] = field_of(what[0].cast<std::string>(), what[1].cast<std::string>());
      }
      types_.push_back(std::move(type));
    }
  }

  py::object read(const py::buffer& buffer, const std::string& name) {
    const py::buffer_info info = buffer.request();
    if (info.ndim != 1 || info.itemsize != 1 || (info.size > 0 && info.strides[0] != 1))
      throw py::value_error("expected contiguous bytes");
    const auto* start = static_cast<const uint8_t*>(info.ptr);
    State state{start, 0, {}};
    try {
      return message(&state, type_of(name), start, start + info.size, 0);
    } catch (const Malformed&) {
      throw py::value_error("cut short, nested too deeply, or not protobuf");
    }
  }

 private:
  struct State {
    const uint8_t* start;
    int64_t messages;
    py::object recent[kRecent];  // short bytes read last, by their hash: lists of modes repeat a few
  };

  static py::object bytes_of(State* state, const uint8_t* from, uint64_t bytes) {
    const auto fresh = [&] { return py::bytes(reinterpret_cast<const char*>(from), bytes); };
    if (bytes > kRecentBytes) return fresh();
    uint32_t hash = 2166136261u;  // FNV-1a
    for (uint64_t i = 0; i < bytes; ++i) hash = (hash ^ from[i]) * 16777619u;
    py::object& held = state->recent[hash % kRecent];
    if (!held || static_cast<uint64_t>(PyBytes_GET_SIZE(held.ptr())) != bytes ||
        std::memcmp(PyBytes_AS_STRING(held.ptr()), from, bytes) != 0)
      held = fresh();
    return held;
  }

  int type_of(const std::string& name) const {
    for (size_t i = 0; i < names_.size(); ++i)
      if (names_[i] == name) return static_cast<int>(i);
    throw py::value_error("unknown message or kind: " + name);
  }

  Field field_of(const std::string& attribute, std::string kind) const {
    static const struct {
      const char* word;
      Kind kind;
    } kinds[] = {{"int", Kind::kInt},     {"float", Kind::kFloat},   {"text", Kind::kText},
                 {"bytes", Kind::kBytes}, {"span", Kind::kSpan},     {"ints", Kind::kInts},
                 {"uints", Kind::kUints}, {"floats", Kind::kFloats}, {"doubles", Kind::kDoubles}};
    Field f;
    if (!kind.empty() && kind.back() == '*') {
      f.repeated = true;
      kind.pop_back();
    }
    f.name = PyUnicode_InternFromString(attribute.c_str());
    for (const auto& k : kinds)
      if (kind == k.word) {
        f.kind = k.kind;
        return f;
      }
    f.kind = Kind::kMessage;
    f.child = type_of(kind);
    return f;
  }

  static void set(const py::object& target, const Field& f, const py::object& value) {
    if (PyObject_SetAttr(target.ptr(), f.name, value.ptr()) != 0) throw py::error_already_set();
  }

  // What the message has of a field already, or a null object.
  static py::object present(const py::object& target, const Field& f) {
    const py::object own = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(target.ptr(), nullptr));
    PyObject* found = PyDict_GetItemWithError(own.ptr(), f.name);
    return found == nullptr ? py::object() : py::reinterpret_borrow<py::object>(found);
  }

  static void add(const py::object& target, const Field& f, const py::object& value) {
    py::object list = present(target, f);
    if (!list) {
      list = py::list();
      set(target, f, list);
    }
    if (PyList_Append(list.ptr(), value.ptr()) != 0) throw py::error_already_set();
  }

  py::object message(State* state, int type, const uint8_t* from, const uint8_t* end, int depth) {
    const py::object& cls = types_[static_cast<size_t>(type)]->cls;
    auto* made = reinterpret_cast<PyTypeObject*>(cls.ptr());
    const py::object target = py::reinterpret_steal<py::object>(made->tp_alloc(made, 0));
    if (!target) throw py::error_already_set();
    fill(state, type, target, from, end, depth);
    return target;
  }

  // Adds the fields of the bytes to a message; as protobuf does, a field that stands twice is merged or the last one.
  void fill(State* state, int type, const py::object& target, const uint8_t* from, const uint8_t* end, int depth) {
    if (depth > kMaxDepth || ++state->messages > kMaxMessages) throw Malformed();
    const MessageType& t = *types_[static_cast<size_t>(type)];
    std::vector<std::pair<uint32_t, Numbers>> numbers;
    Cursor c(from, end);
    while (c.more()) {
      const uint64_t key = c.varint();
      const auto wire = static_cast<uint32_t>(key & 7);
      const uint64_t number = key >> 3;
      if (number == 0) throw Malformed();
      const Field none, &f = number <= kMaxNumber ? t.fields[number] : none;
      if (f.kind >= Kind::kInts) {
        Numbers* n = nullptr;
        for (auto& entry : numbers)
          if (entry.first == number) n = &entry.second;
        if (n == nullptr) n = &numbers.emplace_back(static_cast<uint32_t>(number), Numbers()).second;
        take_numbers(&c, f.kind, wire, n);
      } else {
        take_one(state, f, target, &c, wire, depth);
      }
    }
    for (const auto& entry : numbers) {
      const Field& f = t.fields[entry.first];
      py::object made = array_of(entry.second, f.kind);
      const py::object before = present(target, f);
      if (before) made = py::module_::import("numpy").attr("concatenate")(py::make_tuple(before, made));
      set(target, f, made);
    }
  }

  static void take_numbers(Cursor* c, Kind kind, uint32_t wire, Numbers* n) {
    if (wire == kLength) {
      const uint64_t bytes = c->varint();
      const uint8_t* from = c->take(bytes);
      if (kind == Kind::kFloats)
        append(&n->singles, from, bytes);
      else if (kind == Kind::kDoubles)
        append(&n->doubles, from, bytes);
      else
        append_varints(&n->whole, from, bytes);
    } else if (wire == kFixed32 && kind == Kind::kFloats) {
      n->singles.push_back(c->fixed<float>());
    } else if (wire == kFixed64 && kind == Kind::kDoubles) {
      n->doubles.push_back(c->fixed<double>());
    } else if (wire == kVarint && (kind == Kind::kInts || kind == Kind::kUints)) {
      n->whole.push_back(static_cast<int64_t>(c->varint()));
    } else {
      skip(c, wire);
    }
  }

  void take_one(State* state, const Field& f, const py::object& target, Cursor* c, uint32_t wire, int depth) {
    if (f.kind == Kind::kInt && wire == kVarint) {
      set(target, f, py::int_(static_cast<int64_t>(c->varint())));
    } else if (f.kind == Kind::kFloat && wire == kFixed32) {
      set(target, f, py::float_(static_cast<double>(c->fixed<float>())));
    } else if (f.kind != Kind::kNone && f.kind >= Kind::kText && wire == kLength) {
      const uint64_t bytes = c->varint();
      const uint8_t* from = c->take(bytes);
      if (f.kind == Kind::kMessage) {
        const py::object before = f.repeated ? py::object() : present(target, f);
        if (before)
          fill(state, f.child, before, from, from + bytes, depth + 1);
        else
          keep(target, f, message(state, f.child, from, from + bytes, depth + 1));
      } else if (f.kind == Kind::kText) {
        keep(target, f, text_of(from, bytes));
      } else if (f.kind == Kind::kBytes) {
        keep(target, f, bytes_of(state, from, bytes));
      } else {
        keep(target, f, py::make_tuple(static_cast<int64_t>(from - state->start), static_cast<int64_t>(bytes)));
      }
    } else {
      skip(c, wire);
    }
  }

  static void keep(const py::object& target, const Field& f, const py::object& value) {
    if (f.repeated)
      add(target, f, value);
    else
      set(target, f, value);
  }

  static void skip(Cursor* c, uint32_t wire) {
    if (wire == kVarint)
      c->varint();
    else if (wire == kLength)
      c->take(c->varint());
    else if (wire == kFixed64 || wire == kFixed32)
      c->take(wire == kFixed64 ? 8 : 4);
    else
      throw Malformed();
  }

  std::vector<std::string> names_;
  std::vector<std::unique_ptr<MessageType>> types_;
};

}  // namespace

void register_wire(py::module_& m) {
  py::class_<WireReader>(m, "WireReader").def(py::init<const py::dict&>()).def("read", &WireReader::read);
}

}  // namespace arenaut
