// A log analytics service in one process: takes batches of log lines in three formats, answers dashboard queries on them.
//   logquery --load N             N rounds, then one line with a checksum of every answer; the same N gives the same line
//   logquery --serve [--threads T] rounds without end, a line of progress a second; ends with 1 on the first wrong answer
//   logquery --query QUERY        answers one query on the first batch
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include "line_format.h"
#include "stages.h"
#include "workload.h"

namespace logquery {
namespace {

constexpr unsigned kBatches = 4;
constexpr size_t kRequestsPerBatch = 4000;

class Engine {
 public:
  explicit Engine(const Batch& batch) {
    load("requests", batch.requests, *make_json_format());
    load("events", batch.events, *make_logfmt_format());
    load("hosts", batch.hosts, *make_csv_format());
  }

  // Appends the answer, a line per row, to `out`.
  void answer(const std::string& text, std::string& out) const {
    Arena arena;
    Query query = parse_query(text);
    RowSourcePtr rows = plan(query, [this](const std::string& name) -> const Table& { return find(name); }, arena);
    Row row;
    while (rows->next(row)) {
      for (size_t i = 0; i < row.size(); ++i) {
        if (i > 0) out += '\t';
        format(row[i], out);
      }
      out += '\n';
    }
  }

 private:
  void load(const std::string& name, const std::string& text, LineFormat& format) {
    ingest(text, format, tables_.try_emplace(name, name).first->second);
  }
  const Table& find(const std::string& name) const {
    auto found = tables_.find(name);
    if (found == tables_.end()) throw QueryError("no table '" + name + "'");
    return found->second;
  }
  std::map<std::string, Table> tables_;
};

// One round: a batch comes in, every dashboard asks. Returns a checksum of all answers.
uint64_t round(const Batch& batch) {
  Engine engine(batch);
  std::string answers;
  for (const std::string& query : dashboard_queries()) engine.answer(query, answers);
  return hash_text(answers);
}

std::vector<Batch> make_batches() {
  std::vector<Batch> batches;
  for (unsigned seed = 0; seed < kBatches; ++seed) batches.push_back(make_batch(seed, kRequestsPerBatch));
  return batches;
}

int load(long rounds) {
  std::vector<Batch> batches = make_batches();
  uint64_t checksum = 0;
  for (long i = 0; i < rounds; ++i) checksum = combine(checksum, round(batches[static_cast<size_t>(i) % kBatches]));
  std::printf("%ld rounds, checksum %016llx\n", rounds, static_cast<unsigned long long>(checksum));
  return 0;
}

int serve(long threads) {
  std::vector<Batch> batches = make_batches();
  std::vector<uint64_t> expected;
  for (const Batch& batch : batches) expected.push_back(round(batch));

  std::atomic<uint64_t> rounds = 0;
  std::vector<std::thread> workers;
  for (long t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      for (size_t i = 0;; i = (i + 1) % kBatches) {
        if (round(batches[i]) != expected[i]) {
          std::fprintf(stderr, "logquery: wrong answer for batch %zu\n", i);
          std::_Exit(1);
        }
        ++rounds;
      }
    });
  }
  for (uint64_t before = 0;;) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    uint64_t now = rounds;
    std::printf("%llu rounds answered rightly, %llu in the last second\n", static_cast<unsigned long long>(now),
                static_cast<unsigned long long>(now - before));
    std::fflush(stdout);
    before = now;
  }
}

int answer_one(const char* query) {
  std::string answer;
  Engine(make_batch(0, kRequestsPerBatch)).answer(query, answer);
  std::fputs(answer.c_str(), stdout);
  return 0;
}

int usage() {
  std::fputs("usage: logquery --load ROUNDS | --serve [--threads N] | --query QUERY\n", stderr);
  return 2;
}

int run(int count, char** arguments) {
  std::string_view mode = count > 1 ? arguments[1] : "";
  long number = count > 2 ? std::atol(arguments[count - 1]) : 0;
  if (mode == "--load" && count == 3 && number > 0) return load(number);
  if (mode == "--serve" && count == 2) return serve(1);
  if (mode == "--serve" && count == 4 && std::string_view(arguments[2]) == "--threads" && number > 0) return serve(number);
  if (mode == "--query" && count == 3) return answer_one(arguments[2]);
  return usage();
}

}  // namespace
}  // namespace logquery

int main(int count, char** arguments) {
  try {
    return logquery::run(count, arguments);
  } catch (const logquery::QueryError& error) {
    std::fprintf(stderr, "logquery: %s\n", error.what());
    return 1;
  }
}
