// Pools: one owner at a time, content that stays, and a damaged header that means a clean start.
#include "pools/pool.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

namespace headgate::test {
namespace {

struct Folder {
  std::string path = "/dev/shm/hgtest-" + std::to_string(getpid()) + "-pool";
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file() const { return path + "/connections"; }
  std::unique_ptr<Pool> open(uint32_t layout = 1, uint64_t size = 8192) {
    error.clear();
    return Pool::open(file(), layout, size, error);
  }
  std::string error;
};

TEST_CASE("a new pool is zero, belongs to nobody before, and its content stays for the next owner") {
  Folder folder;
  auto pool = folder.open();
  REQUIRE_MESSAGE(pool, folder.error);
  CHECK_FALSE(pool->inherited());
  CHECK(pool->generation() == 1);
  for (int i = 0; i < 8192; ++i) REQUIRE(pool->content()[i] == 0);
  std::memset(pool->content(), 0x5a, 8192);
  pool->release(true);
  pool.reset();
  pool = folder.open();
  REQUIRE(pool);
  CHECK(pool->inherited());
  CHECK(pool->was_clean());
  CHECK(pool->generation() == 2);
  CHECK(pool->content()[8191] == 0x5a);
  pool.reset();  // without saying that it is in order
  pool = folder.open();
  REQUIRE(pool);
  CHECK(pool->inherited());
  CHECK_FALSE(pool->was_clean());
  REQUIRE(pool->clear(folder.error));
  CHECK(pool->content()[0] == 0);
  CHECK(pool->content()[8191] == 0);
}

TEST_CASE("a second owner is refused, and told what to do") {
  Folder folder;
  auto pool = folder.open();
  REQUIRE(pool);
  pool->content()[0] = 7;
  CHECK_FALSE(folder.open());
  CHECK(folder.error.find("Another engine owns the pool " + folder.file()) != std::string::npos);
  CHECK(folder.error.find("run directory of its own") != std::string::npos);
  CHECK(pool->content()[0] == 7);
  CHECK(pool->generation() == 1);
}

TEST_CASE("the lock goes with its owner, even when that is killed") {
  Folder folder;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    auto pool = folder.open();
    const char byte = pool ? 1 : 0;
    [[maybe_unused]] ssize_t n = write(ready[1], &byte, 1);
    for (;;) pause();
  }
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  CHECK(byte == 1);
  CHECK_FALSE(folder.open());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  auto pool = folder.open();
  REQUIRE_MESSAGE(pool, folder.error);
  CHECK(pool->inherited());
  CHECK_FALSE(pool->was_clean());
}

TEST_CASE("another layout or size, or any damage to the header, is a clean start") {
  const auto start = [](Folder& folder) {
    auto pool = folder.open();
    REQUIRE(pool);
    std::memset(pool->content(), 0x5a, 8192);
    pool->release(true);
  };
  const auto is_clean_start = [](std::unique_ptr<Pool> pool, uint64_t size = 8192) {
    REQUIRE(pool);
    CHECK_FALSE(pool->inherited());
    CHECK(pool->generation() == 1);
    for (uint64_t i = 0; i < size; ++i) REQUIRE(pool->content()[i] == 0);
  };
  {
    Folder folder;
    start(folder);
    is_clean_start(folder.open(2));
  }
  {
    Folder folder;
    start(folder);
    is_clean_start(folder.open(1, 4096), 4096);
  }
  for (size_t at = 0; at < sizeof(PoolHeader); ++at) {
    if (at >= offsetof(PoolHeader, clean) && at < offsetof(PoolHeader, clean) + 4) continue;
    Folder folder;
    start(folder);
    int fd = ::open(folder.file().c_str(), O_RDWR);
    uint8_t byte;
    REQUIRE(pread(fd, &byte, 1, static_cast<off_t>(at)) == 1);
    byte ^= 0x40;
    REQUIRE(pwrite(fd, &byte, 1, static_cast<off_t>(at)) == 1);
    close(fd);
    CAPTURE(at);
    is_clean_start(folder.open());
  }
}

TEST_CASE("a pool that cannot be made says why") {
  Folder folder;
  folder.path += "/missing";
  CHECK_FALSE(Pool::open(folder.path + "/x", 1, 4096, folder.error));
  CHECK(folder.error.find("No such file") != std::string::npos);
  folder.path = "/dev/shm/hgtest-" + std::to_string(getpid()) + "-pool";
  std::filesystem::create_symlink("/etc/passwd", folder.path + "/link");
  CHECK_FALSE(Pool::open(folder.path + "/link", 1, 4096, folder.error));
}

TEST_CASE("pools live on tmpfs: in the folder itself, or in one of their own") {
  Folder folder;
  std::string error;
  CHECK(pool_directory(folder.path, error) == folder.path);
  char name[] = "/var/tmp/hgtest-XXXXXX";
  REQUIRE(mkdtemp(name));
  const std::string elsewhere = pool_directory(name, error);
  if (elsewhere != name) {  // where /var/tmp is no tmpfs
    CHECK(elsewhere.starts_with("/dev/shm/headgate"));
    CHECK(std::filesystem::status(elsewhere).permissions() == std::filesystem::perms::owner_all);
    std::filesystem::remove_all(elsewhere);
  }
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace headgate::test
