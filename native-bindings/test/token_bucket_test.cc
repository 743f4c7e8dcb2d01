// The rate limit: bursts, refill, and time that wraps.
#include "tables/token_bucket.h"

#include <doctest/doctest.h>

namespace headgate::test {
namespace {

int taken(TokenBucket& bucket, uint32_t now, int tries) {
  int count = 0;
  while (tries--) count += bucket.take(now);
  return count;
}

TEST_CASE("a bucket gives its burst at once and its rate from then on") {
  TokenBucket bucket(100, 20);
  CHECK(taken(bucket, 5000, 50) == 20);
  CHECK(taken(bucket, 5009, 5) == 0);
  CHECK(taken(bucket, 5010, 5) == 1);
  CHECK(taken(bucket, 5110, 50) == 10);
  CHECK(taken(bucket, 60000, 50) == 20);
}

TEST_CASE("fractions of a token are kept") {
  TokenBucket bucket(300, 2);
  CHECK(taken(bucket, 1000, 2) == 2);
  int count = 0;
  for (uint32_t now = 1001; now <= 2000; ++now) count += bucket.take(now);
  CHECK(count == 300);
}

TEST_CASE("a bucket works on when milliseconds wrap") {
  TokenBucket bucket(10, 5);
  CHECK(taken(bucket, UINT32_MAX - 50, 9) == 5);
  CHECK(taken(bucket, 48, 9) == 0);
  CHECK(taken(bucket, 49, 9) == 1);
}

}  // namespace
}  // namespace headgate::test
