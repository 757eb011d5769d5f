// Choices between code paths (ARN_CHOICE) that a build for mutation tests is told to force: ARENAUT_FORCED=name=0 or 1.
#ifdef ARN_MUTANTS
#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int32_t arn_forced(const char* name, int32_t condition) {
  static const std::string forced = [] {
    const char* text = std::getenv("ARENAUT_FORCED");
    return std::string(text != nullptr ? text : "");
  }();
  const size_t at = forced.rfind('=');
  if (at == std::string::npos || forced.compare(0, at, name) != 0) return condition;
  return forced[at + 1] == '1' ? 1 : 0;
}
#endif
