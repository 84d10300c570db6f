#include "workload.h"

#include <cstdint>

#include "hash.h"

namespace logquery {
namespace {

class Random {
 public:
  explicit Random(unsigned seed) : state_(mix(seed + 1)) {}
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    return mix(state_);
  }
  unsigned below(unsigned limit) { return static_cast<unsigned>(next() % limit); }
  bool chance(unsigned per_mille) { return below(1000) < per_mille; }
  // Small numbers often, large ones seldom.
  unsigned skewed(unsigned limit) { return below(below(below(limit) + 1) + 1); }

 private:
  uint64_t state_;
};

constexpr const char* kServices[] = {"checkout", "search", "catalog", "login", "images", "Mail-Gateway", "billing", "audit"};
constexpr const char* kMethods[] = {"GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE"};
constexpr const char* kAgents[] = {"Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone)", "curl/7.88.1", "internal-probe"};
constexpr const char* kResources[] = {"items", "orders", "users", "carts", "sessions", "images", "reports"};
constexpr unsigned kHosts = 160;

void append_number(std::string& out, uint64_t value) { out += std::to_string(value); }

void append_request(Random& random, uint64_t time, std::string& out) {
  out += "{\"time\":";
  append_number(out, time);
  out += ",\"host\":\"h";
  append_number(out, random.skewed(kHosts));
  out += "\",\"service\":\"";
  out += kServices[random.skewed(8)];
  out += "\",\"method\":\"";
  out += kMethods[random.below(9)];
  out += "\",\"path\":\"/api/v";
  append_number(out, 1 + random.below(2));
  out += '/';
  out += kResources[random.skewed(7)];
  out += '/';
  append_number(out, random.skewed(600));
  if (random.chance(150)) out += "?expand=owner";
  out += "\",\"status\":";
  append_number(out, random.chance(940) ? 200 : random.chance(700) ? 404 : random.chance(500) ? 500 : 503);
  out += ",\"ms\":";
  append_number(out, random.skewed(4000));
  out += '.';
  append_number(out, random.below(10));
  out += ",\"bytes\":";
  append_number(out, random.skewed(1 << 20));
  if (random.chance(250)) {
    out += ",\"client\":{\"agent\":\"";
    out += kAgents[random.skewed(4)];
    out += "\",\"retries\":";
    append_number(out, random.skewed(4));
    out += '}';
  }
  if (random.chance(80)) out += ",\"tags\":[\"beta\",\"eu\"]";
  if (random.chance(30)) out += ",\"error\":\"upstream said \\\"busy\\\"\\n\\u00fcber quota\"";
  if (random.chance(2)) out += ",\"broken\":";  // a line cut off in transit
  out += "}\n";
}

void append_event(Random& random, uint64_t time, std::string& out) {
  out += "time=";
  append_number(out, time);
  out += " host=h";
  append_number(out, random.skewed(kHosts));
  out += random.chance(850) ? " level=info" : random.chance(800) ? " level=warn" : " level=error";
  out += " component=";
  out += kResources[random.below(7)];
  switch (random.below(4)) {
    case 0: out += " msg=\"cache miss\" key="; append_number(out, random.below(5000)); break;
    case 1: out += " msg=\"connection pool grew\" size="; append_number(out, random.skewed(256)); break;
    case 2: out += " msg=\"slow statement\" ms="; append_number(out, 100 + random.skewed(9000)); break;
    default: out += " msg=\"Request retried\" attempt="; append_number(out, 1 + random.skewed(5)); break;
  }
  out += '\n';
}

}  // namespace

Batch make_batch(unsigned seed, size_t requests) {
  Random random(seed);
  Batch batch;
  uint64_t time = 1'700'000'000 + uint64_t{seed} * 3600;
  for (size_t i = 0; i < requests; ++i) {
    time += random.chance(300);
    append_request(random, time, batch.requests);
    if (random.chance(400)) append_event(random, time, batch.events);
  }
  batch.hosts = "host,zone,cores,\"rack, row\"\n";
  for (unsigned host = 0; host < kHosts; ++host) {
    batch.hosts += "h" + std::to_string(host) + ",zone-" + static_cast<char>('a' + host % 3) + "," + std::to_string(8 << host % 4) + ",\"r" +
                   std::to_string(host / 20) + ", " + std::to_string(host % 20) + "\"\n";
  }
  return batch;
}

const std::vector<std::string>& dashboard_queries() {
  static const std::vector<std::string> queries = {
      "from requests | where status >= 500 | summarize n = count(), avg(ms) by service | sort n desc",
      "from requests | summarize n = count(), errors = count_if(status >= 400), p50(ms), p99 = p99(ms) by minute = bucket(time, 60) | sort minute",
      "from requests | where contains(path, '/orders/') and method in ('POST', 'PUT') | summarize n = count(), sum(bytes) by host | sort n desc, host | take 10",
      "from requests | extend resource = segment(path, 2), slow = ms > 800 | where slow or status != 200 "
      "| summarize n = count(), worst = max(ms), distinct(host) by resource, status | sort resource, status",
      "from requests | where bytes > 1000 and ms * 1000 / bytes > 2.5 | join hosts on host | summarize n = count(), rate = avg(bytes / (ms + 1)) by zone | sort zone",
      "from requests | where like(path, '/api/v2/*expand=*') | project service = lower(service), ms, bytes, host | sort ms desc, bytes, host | take 25",
      "from requests | where client.retries > 0 and not starts_with(coalesce(client.agent, 'none'), 'internal') "
      "| summarize n = count(), p95(ms) by client.agent | sort n desc",
      "from requests | extend weight = if(status == 200, 1, if(status < 500, 5, 20)) | join hosts on host "
      "| summarize score = sum(weight), n = count() by cores, service | sort score desc, service, cores | take 12",
      "from requests | where is_null(tags) and bucket(ms, 250) >= 500 | distinct label = concat(service, ':', status), method | sort label, method",
      "from events | where level != 'info' | summarize n = count(), latest = max(time) by component, msg | sort n desc, component, msg | take 20",
      "from events | where contains(lower(msg), 'retried') and attempt > 1 | join hosts on host | summarize n = count() by zone, attempt | sort zone, attempt",
      "from events | where ms > 2000 or size > 64 | extend minute = bucket(time, 300) | summarize n = count(), p95(ms), max(size) by minute | sort minute desc",
  };
  return queries;
}

}  // namespace logquery
