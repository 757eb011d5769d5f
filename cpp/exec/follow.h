// Bindings of a program with state: their keys grow from run to run, so each is made once, with room to grow in.
#pragma once

#include <memory>
#include <vector>

#include "exec/program.h"

namespace arenaut {

class Follower {
 public:
  // The binding of this key: one of an earlier call bound again where the key is only longer or shorter, or a new one.
  // The caller lets go of it before the next call. Throws like Program::bind.
  std::shared_ptr<const Binding> bind(const Program& program, const std::vector<int64_t>& key, const Growth& growth);

 private:
  struct Kept {
    std::shared_ptr<Binding> binding;
    std::vector<bool> moves;  // numbers of the key for which there is room; empty: made for this key alone
    bool fixed = false;       // no room can be made
  };
  // What of the key differs from `kept`, where all that does are lengths; false where it is another key.
  bool compare(const Kept& kept, const std::vector<int64_t>& key, const Growth& growth);
  bool widen(const Program& program, const std::vector<int64_t>& key, const Growth& growth, Kept* kept);

  std::vector<Kept> kept_;                // the latest first
  std::shared_ptr<const Binding> plain_;  // the last one of a state that does not grow
  std::vector<bool> differs_;
  int64_t by_ = 0;  // how much longer, of the last comparison
};

}  // namespace arenaut
