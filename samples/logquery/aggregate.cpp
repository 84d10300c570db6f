#include "aggregate.h"

#include <bit>
#include <cmath>

#include "flat_table.h"

namespace logquery {
namespace {

class Count final : public Aggregate {
 public:
  void add(const Value& value) override { count_ += !value.is_null(); }
  Value result() const override { return Value::integer(count_); }

 private:
  int64_t count_ = 0;
};

class CountIf final : public Aggregate {
 public:
  void add(const Value& value) override { count_ += value.is_true(); }
  Value result() const override { return Value::integer(count_); }

 private:
  int64_t count_ = 0;
};

// Exact in integers until they overflow, then in doubles.
class Sum final : public Aggregate {
 public:
  void add(const Value& value) override {
    if (value.type() == Type::kInt && !real_) {
      if (!__builtin_add_overflow(int_, value.as_int(), &int_)) return;
      real_ = true;
      sum_ = static_cast<double>(int_);
      return;
    }
    if (value.is_null()) return;
    if (!real_) {
      real_ = true;
      sum_ = static_cast<double>(int_);
    }
    sum_ += value.as_real();
  }
  Value result() const override { return real_ ? Value::real(sum_) : Value::integer(int_); }

 private:
  bool real_ = false;
  int64_t int_ = 0;
  double sum_ = 0;
};

class Average final : public Aggregate {
 public:
  void add(const Value& value) override {
    if (value.is_null()) return;
    sum_ += value.as_real();
    ++count_;
  }
  Value result() const override { return count_ == 0 ? Value() : Value::real(sum_ / static_cast<double>(count_)); }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

template <int kSign>
class Extreme final : public Aggregate {
 public:
  void add(const Value& value) override {
    if (value.is_null()) return;
    if (best_.is_null() || compare(value, best_) * kSign > 0) best_ = value;
  }
  Value result() const override { return best_; }

 private:
  Value best_;
};

class Distinct final : public Aggregate {
 public:
  void add(const Value& value) override {
    if (value.is_null()) return;
    seen_.find_or_insert(value.hash(), [&](const Value& other) { return equal(other, value); }, [&] { return value; });
  }
  Value result() const override { return Value::integer(static_cast<int64_t>(seen_.size())); }

 private:
  FlatTable<Value> seen_;
};

// A histogram with 16 buckets per power of two: quantiles within 7 per cent.
class Quantile final : public Aggregate {
 public:
  explicit Quantile(double share) : share_(share) {}

  void add(const Value& value) override {
    if (value.is_null()) return;
    double real = value.as_real();
    size_t bucket = real < 1 ? 0 : bucket_of(static_cast<uint64_t>(real));
    if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
    ++buckets_[bucket];
    ++count_;
  }

  Value result() const override {
    if (count_ == 0) return Value();
    uint64_t wanted = static_cast<uint64_t>(std::ceil(share_ * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
      seen += buckets_[bucket];
      if (seen >= wanted) return Value::integer(lower_end(bucket));
    }
    return Value();
  }

 private:
  static size_t bucket_of(uint64_t value) {
    if (value < 16) return value;
    unsigned power = static_cast<unsigned>(std::bit_width(value)) - 1;
    return (power - 3) * 16 + ((value >> (power - 4)) & 15);
  }
  static int64_t lower_end(size_t bucket) {
    if (bucket < 16) return static_cast<int64_t>(bucket);
    size_t power = bucket / 16 + 3;
    return static_cast<int64_t>((16 + bucket % 16) << (power - 4));
  }

  double share_;
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
};

}  // namespace

std::unique_ptr<Aggregate> make_aggregate(std::string_view name) {
  if (name == "count") return std::make_unique<Count>();
  if (name == "count_if") return std::make_unique<CountIf>();
  if (name == "sum") return std::make_unique<Sum>();
  if (name == "avg") return std::make_unique<Average>();
  if (name == "min") return std::make_unique<Extreme<-1>>();
  if (name == "max") return std::make_unique<Extreme<1>>();
  if (name == "distinct") return std::make_unique<Distinct>();
  if (name == "p50") return std::make_unique<Quantile>(0.50);
  if (name == "p95") return std::make_unique<Quantile>(0.95);
  if (name == "p99") return std::make_unique<Quantile>(0.99);
  throw QueryError("no aggregate '" + std::string(name) + "'");
}

}  // namespace logquery
