#include "stages.h"

#include <algorithm>

#include "aggregate.h"
#include "sort.h"

namespace logquery {
namespace {

class Scan final : public RowSource {
 public:
  explicit Scan(const Table& table) : table_(table) {
    for (size_t i = 0; i < table.column_count(); ++i) schema_.push_back(table.column_name(i));
  }
  bool next(Row& row) override {
    if (at_ >= table_.rows()) return false;
    table_.read(at_++, row);
    return true;
  }

 private:
  const Table& table_;
  size_t at_ = 0;
};

class Where final : public RowSource {
 public:
  Where(RowSourcePtr input, const Expression& condition, Arena& arena)
      : input_(std::move(input)), condition_(Program::compile(condition, input_->schema())), arena_(arena) {
    schema_ = input_->schema();
  }
  bool next(Row& row) override {
    while (input_->next(row))
      if (condition_.run(row, arena_).is_true()) return true;
    return false;
  }

 private:
  RowSourcePtr input_;
  Program condition_;
  Arena& arena_;
};

// Evaluates a list of expressions against one schema.
class Outputs {
 public:
  Outputs(const std::vector<Named>& list, const Schema& schema) {
    for (const Named& named : list) programs_.push_back(Program::compile(*named.expression, schema));
  }
  size_t size() const { return programs_.size(); }
  Value get(size_t index, const Row& row, Arena& arena) const {
    int column = programs_[index].plain_column();
    return column >= 0 ? row[static_cast<size_t>(column)] : programs_[index].run(row, arena);
  }

 private:
  std::vector<Program> programs_;
};

class Extend final : public RowSource {
 public:
  Extend(RowSourcePtr input, const std::vector<Named>& outputs, Arena& arena)
      : input_(std::move(input)), outputs_(outputs, input_->schema()), arena_(arena) {
    schema_ = input_->schema();
    for (const Named& named : outputs) schema_.push_back(named.name);
  }
  bool next(Row& row) override {
    if (!input_->next(row)) return false;
    for (size_t i = 0; i < outputs_.size(); ++i) row.push_back(outputs_.get(i, row, arena_));
    return true;
  }

 private:
  RowSourcePtr input_;
  Outputs outputs_;
  Arena& arena_;
};

class Project final : public RowSource {
 public:
  Project(RowSourcePtr input, const std::vector<Named>& outputs, Arena& arena)
      : input_(std::move(input)), outputs_(outputs, input_->schema()), arena_(arena) {
    for (const Named& named : outputs) schema_.push_back(named.name);
  }
  bool next(Row& row) override {
    if (!input_->next(buffer_)) return false;
    row.resize(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) row[i] = outputs_.get(i, buffer_, arena_);
    return true;
  }

 private:
  RowSourcePtr input_;
  Outputs outputs_;
  Arena& arena_;
  Row buffer_;
};

uint64_t hash_row(const Row& row) {
  uint64_t hash = row.size();
  for (const Value& value : row) hash = combine(hash, value.hash());
  return hash;
}

bool equal_rows(const Row& a, const Row& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!equal(a[i], b[i])) return false;
  return true;
}

// Groups by hashing the key columns; groups come out in the order they were first seen.
class Summarize final : public RowSource {
 public:
  Summarize(RowSourcePtr input, const Stage& stage, Arena& arena)
      : input_(std::move(input)), keys_(stage.groups, input_->schema()), arena_(arena) {
    for (const Named& named : stage.groups) schema_.push_back(named.name);
    for (const Named& named : stage.outputs) {
      schema_.push_back(named.name);
      names_.push_back(named.aggregate);
      make_aggregate(named.aggregate);  // an unknown name fails here, not at the first row
      if (named.expression) {
        argument_.push_back(static_cast<int>(arguments_.size()));
        arguments_.push_back(Program::compile(*named.expression, input_->schema()));
      } else {
        argument_.push_back(-1);
      }
    }
  }

  bool next(Row& row) override {
    if (!done_) consume();
    if (at_ >= groups_.size()) return false;
    const Group& group = groups_.entries()[at_++];
    row = group.key;
    for (const auto& aggregate : group.aggregates) row.push_back(aggregate->result());
    return true;
  }

 private:
  struct Group {
    Row key;
    std::vector<std::unique_ptr<Aggregate>> aggregates;
  };

  void consume() {
    Row row, key(keys_.size());
    while (input_->next(row)) {
      for (size_t i = 0; i < keys_.size(); ++i) key[i] = keys_.get(i, row, arena_);
      Group& group = groups_.find_or_insert(
          hash_row(key), [&](const Group& g) { return equal_rows(g.key, key); }, [&] { return make_group(key); });
      for (size_t i = 0; i < names_.size(); ++i) {
        if (argument_[i] < 0) group.aggregates[i]->add(Value::boolean(true));
        else group.aggregates[i]->add(arguments_[static_cast<size_t>(argument_[i])].run(row, arena_));
      }
    }
    done_ = true;
  }

  Group make_group(const Row& key) const {
    Group group{key, {}};
    for (const std::string& name : names_) group.aggregates.push_back(make_aggregate(name));
    return group;
  }

  RowSourcePtr input_;
  Outputs keys_;
  std::vector<Program> arguments_;
  std::vector<int> argument_;
  std::vector<std::string> names_;
  Arena& arena_;
  FlatTable<Group> groups_;
  size_t at_ = 0;
  bool done_ = false;
};

// Inner hash join: builds on the named table, probes with the rows that come.
class Join final : public RowSource {
 public:
  Join(RowSourcePtr input, const Table& table, const std::string& column) : input_(std::move(input)), table_(table) {
    schema_ = input_->schema();
    auto here = std::find(schema_.begin(), schema_.end(), column);
    int there = table.find_column(column);
    if (here == schema_.end() || there < 0) throw QueryError("join: no column '" + column + "' on both sides");
    probe_column_ = static_cast<size_t>(here - schema_.begin());
    for (size_t i = 0; i < table.column_count(); ++i) {
      if (static_cast<int>(i) == there) continue;
      payload_.push_back(i);
      schema_.push_back(table.column_name(i));
    }
    build(static_cast<size_t>(there));
  }

  bool next(Row& row) override {
    for (;;) {
      if (chain_ != kEnd) {
        size_t match = chain_;
        chain_ = next_in_chain_[match];
        row = probe_;
        for (size_t column : payload_) row.push_back(table_.column(column).get(match));
        return true;
      }
      if (!input_->next(probe_)) return false;
      const Value& key = probe_[probe_column_];
      if (key.is_null()) continue;
      if (Bucket* bucket = keys_.find(key.hash(), [&](const Bucket& b) { return equal(b.key, key); })) chain_ = bucket->first;
    }
  }

 private:
  static constexpr size_t kEnd = SIZE_MAX;
  struct Bucket {
    Value key;
    size_t first;
  };

  void build(size_t column) {
    next_in_chain_.assign(table_.rows(), kEnd);
    for (size_t row = table_.rows(); row-- > 0;) {
      Value key = table_.column(column).get(row);
      if (key.is_null()) continue;
      Bucket& bucket = keys_.find_or_insert(
          key.hash(), [&](const Bucket& b) { return equal(b.key, key); }, [&] { return Bucket{key, kEnd}; });
      next_in_chain_[row] = bucket.first;
      bucket.first = row;
    }
  }

  RowSourcePtr input_;
  const Table& table_;
  size_t probe_column_ = 0;
  std::vector<size_t> payload_;
  FlatTable<Bucket> keys_;
  std::vector<size_t> next_in_chain_;
  Row probe_;
  size_t chain_ = kEnd;
};

class Sort final : public RowSource {
 public:
  Sort(RowSourcePtr input, const std::vector<SortKey>& keys) : input_(std::move(input)) {
    schema_ = input_->schema();
    for (const SortKey& key : keys) {
      auto found = std::find(schema_.begin(), schema_.end(), key.column);
      if (found == schema_.end()) throw QueryError("no column '" + key.column + "' to sort by");
      keys_.push_back({static_cast<size_t>(found - schema_.begin()), key.descending});
    }
  }
  bool next(Row& row) override {
    if (!done_) {
      Row pulled;
      while (input_->next(pulled)) rows_.push_back(pulled);
      sort_stable(rows_, [this](const Row& a, const Row& b) { return before(a, b); });
      done_ = true;
    }
    if (at_ >= rows_.size()) return false;
    row = std::move(rows_[at_++]);
    return true;
  }

 private:
  struct Key {
    size_t column;
    bool descending;
  };

  bool before(const Row& a, const Row& b) const {
    for (const Key& key : keys_) {
      int order = compare(a[key.column], b[key.column]);
      if (order != 0) return key.descending ? order > 0 : order < 0;
    }
    return false;
  }

  RowSourcePtr input_;
  std::vector<Key> keys_;
  std::vector<Row> rows_;
  size_t at_ = 0;
  bool done_ = false;
};

class Take final : public RowSource {
 public:
  Take(RowSourcePtr input, size_t count) : input_(std::move(input)), left_(count) { schema_ = input_->schema(); }
  bool next(Row& row) override {
    if (left_ == 0) return false;
    --left_;
    return input_->next(row);
  }

 private:
  RowSourcePtr input_;
  size_t left_;
};

}  // namespace

RowSourcePtr plan(const Query& query, const TableLookup& tables, Arena& arena) {
  RowSourcePtr source = std::make_unique<Scan>(tables(query.table));
  for (const Stage& stage : query.stages) {
    switch (stage.kind) {
      case Stage::Kind::kWhere: source = std::make_unique<Where>(std::move(source), *stage.condition, arena); break;
      case Stage::Kind::kExtend: source = std::make_unique<Extend>(std::move(source), stage.outputs, arena); break;
      case Stage::Kind::kProject: source = std::make_unique<Project>(std::move(source), stage.outputs, arena); break;
      case Stage::Kind::kSummarize:
      case Stage::Kind::kDistinct: source = std::make_unique<Summarize>(std::move(source), stage, arena); break;
      case Stage::Kind::kJoin: source = std::make_unique<Join>(std::move(source), tables(stage.table), stage.column); break;
      case Stage::Kind::kSort: source = std::make_unique<Sort>(std::move(source), stage.keys); break;
      case Stage::Kind::kTake: source = std::make_unique<Take>(std::move(source), stage.count); break;
    }
  }
  return source;
}

}  // namespace logquery
