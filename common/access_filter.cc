#include "common/access_filter.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "common/regex.h"

namespace leat {
namespace {

constexpr int kDeepest = 32;       // parentheses and negations within one another: the parser recurses
constexpr size_t kLongest = 4096;  // bytes: a chain of && is as deep as it is long

enum class Kind : uint8_t { kOr, kAnd, kNot, kCompareNumber, kCompareText, kText, kFlag, kHasText, kHasNumber };
enum class Operator : uint8_t { kEqual, kUnequal, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
enum class TextTest : uint8_t { kStartsWith, kEndsWith, kContains, kMatches };
enum class Number : uint8_t { kResponseCode, kResponseSize, kRequestSize, kDuration };
enum class Text : uint8_t { kMethod, kPath, kUrlPath, kHost, kProtocol, kHeader };

constexpr std::pair<std::string_view, Number> kNumbers[] = {
    {"response.code", Number::kResponseCode},       {"response.size", Number::kResponseSize},
    {"response.total_size", Number::kResponseSize}, {"request.size", Number::kRequestSize},
    {"request.total_size", Number::kRequestSize},   {"request.duration_ms", Number::kDuration}};
constexpr std::pair<std::string_view, Text> kTexts[] = {
    {"request.method", Text::kMethod},   {"request.path", Text::kPath},         {"request.url_path", Text::kUrlPath},
    {"request.host", Text::kHost},       {"request.protocol", Text::kProtocol}, {"request.headers", Text::kHeader},
    {"request.useragent", Text::kHeader}};
constexpr std::pair<std::string_view, Operator> kOperators[] = {
    {"==", Operator::kEqual},          {"!=", Operator::kUnequal}, {"<=", Operator::kLessOrEqual},
    {">=", Operator::kGreaterOrEqual}, {"<", Operator::kLess},     {">", Operator::kGreater}};
constexpr std::pair<std::string_view, TextTest> kTests[] = {{"startsWith", TextTest::kStartsWith},
                                                            {"endsWith", TextTest::kEndsWith},
                                                            {"contains", TextTest::kContains},
                                                            {"matches", TextTest::kMatches}};

}  // namespace

struct AccessFilter::Expression {
  Kind kind;
  Operator op = Operator::kEqual;
  TextTest test = TextTest::kContains;
  Number number = Number::kResponseCode;
  Text text = Text::kMethod;
  int64_t value = 0;
  std::string operand;  // the text to compare with
  std::string header;   // in lower case
  std::optional<Regex> regex;
  std::unique_ptr<const Expression> left, right;
};

namespace {

using Expression = AccessFilter::Expression;
using Made = Result<std::unique_ptr<Expression>>;

template <typename T>
bool holds(Operator op, const T& left, const T& right) {
  switch (op) {
    case Operator::kEqual:
      return left == right;
    case Operator::kUnequal:
      return left != right;
    case Operator::kLess:
      return left < right;
    case Operator::kLessOrEqual:
      return left <= right;
    case Operator::kGreater:
      return left > right;
    case Operator::kGreaterOrEqual:
      return left >= right;
  }
  return false;
}

std::optional<int64_t> number_of(Number number, const AccessFacts& facts) {
  switch (number) {
    case Number::kResponseCode:
      return facts.response_code;
    case Number::kResponseSize:
      return facts.response_size;
    case Number::kRequestSize:
      return facts.request_size;
    case Number::kDuration:
      return facts.duration_ms;
  }
  return std::nullopt;
}

std::optional<std::string_view> text_of(const Expression& expression, const AccessFacts& facts) {
  if (!facts.http) return std::nullopt;
  switch (expression.text) {
    case Text::kMethod:
      return facts.method;
    case Text::kPath:
      return facts.path;
    case Text::kUrlPath:
      return facts.path.substr(0, facts.path.find('?'));
    case Text::kHost:
      return facts.host;
    case Text::kProtocol:
      return facts.protocol;
    case Text::kHeader:
      return facts.header ? facts.header(facts.request, expression.header) : std::nullopt;
  }
  return std::nullopt;
}

bool passes(const Expression& expression, std::string_view text) {
  switch (expression.test) {
    case TextTest::kStartsWith:
      return text.starts_with(expression.operand);
    case TextTest::kEndsWith:
      return text.ends_with(expression.operand);
    case TextTest::kContains:
      return text.find(expression.operand) != std::string_view::npos;
    case TextTest::kMatches:
      return expression.regex->matches(text);
  }
  return false;
}

// CEL's three values: nothing stands for an error, which the other side of && and || may make good.
std::optional<bool> evaluate(const Expression& expression, const AccessFacts& facts) {
  switch (expression.kind) {
    case Kind::kOr:
    case Kind::kAnd: {
      const bool decides = expression.kind == Kind::kOr;
      const auto left = evaluate(*expression.left, facts);
      if (left == decides) return decides;
      const auto right = evaluate(*expression.right, facts);
      if (right == decides) return decides;
      return left && right ? std::optional(!decides) : std::nullopt;
    }
    case Kind::kNot: {
      const auto value = evaluate(*expression.left, facts);
      return value ? std::optional(!*value) : std::nullopt;
    }
    case Kind::kCompareNumber: {
      const auto value = number_of(expression.number, facts);
      return value ? std::optional(holds(expression.op, *value, expression.value)) : std::nullopt;
    }
    case Kind::kCompareText: {
      const auto value = text_of(expression, facts);
      return value ? std::optional(holds(expression.op, *value, std::string_view(expression.operand))) : std::nullopt;
    }
    case Kind::kText: {
      const auto value = text_of(expression, facts);
      return value ? std::optional(passes(expression, *value)) : std::nullopt;
    }
    case Kind::kFlag:
      return facts.mtls;
    case Kind::kHasText:
      if (!facts.http) return std::nullopt;
      return text_of(expression, facts).has_value();
    case Kind::kHasNumber:
      return number_of(expression.number, facts).has_value();
  }
  return std::nullopt;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Made whole() {
    LEAT_TRY(auto root, either(0));
    skip_blanks();
    if (!rest_.empty()) return fail(ErrorCode::kInvalid, "'{}' is not understood", rest_);
    return root;
  }

 private:
  Made either(int depth) {
    LEAT_TRY(auto left, both(depth));
    while (take("||")) {
      LEAT_TRY(auto right, both(depth));
      left = join(Kind::kOr, std::move(left), std::move(right));
    }
    return left;
  }

  Made both(int depth) {
    LEAT_TRY(auto left, single(depth));
    while (take("&&")) {
      LEAT_TRY(auto right, single(depth));
      left = join(Kind::kAnd, std::move(left), std::move(right));
    }
    return left;
  }

  Made single(int depth) {
    if (depth > kDeepest) return fail(ErrorCode::kInvalid, "too deeply nested");
    if (take("(")) {
      LEAT_TRY(auto inner, either(depth + 1));
      if (!take(")")) return fail(ErrorCode::kInvalid, "a ')' is missing before '{}'", rest_);
      return inner;
    }
    skip_blanks();
    if (rest_.starts_with('!') && !rest_.starts_with("!=")) {
      rest_.remove_prefix(1);
      LEAT_TRY(auto inner, single(depth + 1));
      return join(Kind::kNot, std::move(inner), nullptr);
    }
    if (rest_.starts_with('\'') || rest_.starts_with('"')) return header_presence();
    return attribute();
  }

  // 'name' in request.headers
  Made header_presence() {
    LEAT_TRY(std::string name, literal());
    if (!take("in") || !take("request.headers"))
      return fail(ErrorCode::kInvalid, "a text stands before 'in request.headers' only, not before '{}'", rest_);
    auto made = std::make_unique<Expression>(Kind::kHasText);
    made->text = Text::kHeader;
    made->header = lower(std::move(name));
    return made;
  }

  Made attribute() {
    const std::string_view name = word();
    if (name == "connection.mtls") return flag();
    if (name == "has") return presence();
    for (const auto& [known, number] : kNumbers) {
      if (name == known) return number_comparison(number);
    }
    for (const auto& [known, text] : kTexts) {
      if (name == known) return text_test(text, name);
      // A method of the text, as in request.path.startsWith('/').
      if (name.starts_with(known) && name.substr(known.size()).starts_with('.')) {
        rest_ = {name.data() + known.size(), rest_.size() + name.size() - known.size()};
        return text_test(text, known);
      }
    }
    return fail(ErrorCode::kInvalid, "'{}' is no attribute that Leat knows", name.empty() ? rest_ : name);
  }

  // has(request.useragent)
  Made presence() {
    if (!take("(")) return fail(ErrorCode::kInvalid, "has needs an attribute in parentheses");
    const std::string_view name = word();
    auto made = std::make_unique<Expression>(Kind::kHasText);
    const auto* const text = std::ranges::find(kTexts, name, &std::pair<std::string_view, Text>::first);
    const auto* const number = std::ranges::find(kNumbers, name, &std::pair<std::string_view, Number>::first);
    if (text != std::end(kTexts)) {
      made->text = text->second;
      LEAT_TRY(made->header, header_of(name));
    } else if (number != std::end(kNumbers)) {
      made->kind = Kind::kHasNumber;
      made->number = number->second;
    } else {
      return fail(ErrorCode::kInvalid, "'{}' is no attribute that Leat knows", name.empty() ? rest_ : name);
    }
    if (!take(")")) return fail(ErrorCode::kInvalid, "a ')' is missing before '{}'", rest_);
    return made;
  }

  // Which one an attribute of the kind Text::kHeader asks for, in lower case.
  Result<std::string> header_of(std::string_view name) {
    if (name == "request.useragent") return "user-agent";
    if (name != "request.headers") return "";
    if (!take("[")) return fail(ErrorCode::kInvalid, "request.headers needs a name: request.headers['name']");
    LEAT_TRY(std::string header, literal());
    if (!take("]")) return fail(ErrorCode::kInvalid, "a ']' is missing before '{}'", rest_);
    return lower(std::move(header));
  }

  // `one` makes what stands for being equal to the next of [a, b, …].
  template <typename One>
  Made one_of(One one) {
    if (!take("[")) return fail(ErrorCode::kInvalid, "a list in [ ] is missing before '{}'", rest_);
    LEAT_TRY(auto any, one());
    while (take(",")) {
      LEAT_TRY(auto next, one());
      any = join(Kind::kOr, std::move(any), std::move(next));
    }
    if (!take("]")) return fail(ErrorCode::kInvalid, "a ']' is missing before '{}'", rest_);
    return any;
  }

  Made flag() {
    auto made = std::make_unique<Expression>(Kind::kFlag);
    const auto op = comparison();
    if (!op) return made;
    const std::string_view value = word();
    if ((value != "true" && value != "false") || (*op != Operator::kEqual && *op != Operator::kUnequal))
      return fail(ErrorCode::kInvalid, "connection.mtls is compared with == or != to true or false");
    if ((value == "true") == (*op == Operator::kEqual)) return made;
    return join(Kind::kNot, std::move(made), nullptr);
  }

  Made number_comparison(Number number) {
    if (take("in")) return one_of([&] { return compared(number, Operator::kEqual); });
    const auto op = comparison();
    if (!op) return fail(ErrorCode::kInvalid, "a comparison is missing before '{}'", rest_);
    return compared(number, *op);
  }

  Made compared(Number number, Operator op) {
    skip_blanks();
    auto made = std::make_unique<Expression>(Kind::kCompareNumber, op);
    made->number = number;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), made->value);
    if (error != std::errc()) return fail(ErrorCode::kInvalid, "a number is missing before '{}'", rest_);
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return made;
  }

  Made text_test(Text text, std::string_view name) {
    auto made = std::make_unique<Expression>(Kind::kCompareText);
    made->text = text;
    LEAT_TRY(made->header, header_of(name));
    if (take(".")) return text_method(std::move(made));
    const auto equal = [&, header = made->header]() -> Made {
      auto one = std::make_unique<Expression>(Kind::kCompareText);
      one->text = text;
      one->header = header;
      LEAT_TRY(one->operand, literal());
      return one;
    };
    if (take("in")) return one_of(equal);
    const auto op = comparison();
    if (!op) return fail(ErrorCode::kInvalid, "a comparison is missing before '{}'", rest_);
    made->op = *op;
    LEAT_TRY(made->operand, literal());
    return made;
  }

  Made text_method(std::unique_ptr<Expression> made) {
    const std::string_view method = word();
    const auto* const found = std::ranges::find(kTests, method, &std::pair<std::string_view, TextTest>::first);
    if (found == std::end(kTests)) return fail(ErrorCode::kInvalid, "'{}' is no test that Leat knows", method);
    made->kind = Kind::kText;
    made->test = found->second;
    if (!take("(")) return fail(ErrorCode::kInvalid, "{} needs a text in parentheses", method);
    LEAT_TRY(made->operand, literal());
    if (!take(")")) return fail(ErrorCode::kInvalid, "a ')' is missing before '{}'", rest_);
    if (made->test == TextTest::kMatches) {
      // CEL's matches() looks for the expression anywhere; Regex takes the whole text.
      LEAT_TRY(Regex regex, Regex::compile("(?s).*(?:" + made->operand + ").*"));
      made->regex.emplace(std::move(regex));
    }
    return made;
  }

  std::optional<Operator> comparison() {
    for (const auto& [text, op] : kOperators) {
      if (take(text)) return op;
    }
    return std::nullopt;
  }

  // In single or double quotes, with \\, \' and \" in it.
  Result<std::string> literal() {
    skip_blanks();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"'))
      return fail(ErrorCode::kInvalid, "a text in quotes is missing before '{}'", rest_);
    const char quote = rest_[0];
    std::string text;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return text;
      }
      if (rest_[i] == '\\' && i + 1 < rest_.size()) ++i;
      text += rest_[i];
    }
    return fail(ErrorCode::kInvalid, "a text has no closing quote");
  }

  std::string_view word() {
    skip_blanks();
    size_t size = 0;
    while (size < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[size])) != 0 || rest_[size] == '_' || rest_[size] == '.'))
      ++size;
    const std::string_view found = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return found;
  }

  bool take(std::string_view token) {
    skip_blanks();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void skip_blanks() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }

  static std::unique_ptr<Expression> join(Kind kind, std::unique_ptr<const Expression> left,
                                          std::unique_ptr<const Expression> right) {
    auto made = std::make_unique<Expression>(kind);
    made->left = std::move(left);
    made->right = std::move(right);
    return made;
  }
  static std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c | 0x20) : c; });
    return text;
  }

  std::string_view rest_;
};

}  // namespace

AccessFilter::AccessFilter(std::unique_ptr<const Expression> root) : root_(std::move(root)) {}
AccessFilter::AccessFilter(AccessFilter&&) noexcept = default;
AccessFilter& AccessFilter::operator=(AccessFilter&&) noexcept = default;
AccessFilter::~AccessFilter() = default;

Result<AccessFilter> AccessFilter::compile(std::string_view expression) {
  if (expression.size() > kLongest) return fail(ErrorCode::kInvalid, "longer than {} bytes", kLongest);
  LEAT_TRY(auto root, Parser(expression).whole());
  return AccessFilter(std::move(root));
}

bool AccessFilter::admits(const AccessFacts& facts) const { return evaluate(*root_, facts).value_or(false); }

}  // namespace leat
