#include "pools/pool.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "packet/hash.h"

namespace headgate {
namespace {

constexpr uint64_t kHeaderBytes = 4096;  // the content begins on a page

uint64_t checksum_of(const PoolHeader& h) {
  uint64_t sum = fold_multiply(h.magic ^ h.layout, 0x9e3779b97f4a7c15ull);
  return fold_multiply(sum ^ h.generation, h.size ^ 0xd6e8feb86659fd93ull);
}

bool holds(const PoolHeader& h, uint32_t layout, uint64_t size) {
  return h.magic == PoolHeader::kMagic && h.layout == layout && h.size == size && h.checksum == checksum_of(h);
}

bool lock(int fd) {
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

}  // namespace

std::unique_ptr<Pool> Pool::open(const std::string& path, uint32_t layout, uint64_t content_size, std::string& error) {
  auto fail = [&](int fd, const std::string& what) -> std::unique_ptr<Pool> {
    error = what + ": " + strerror(errno);
    if (fd >= 0) ::close(fd);
    return nullptr;
  };
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return fail(fd, "Cannot open the pool " + path);
  if (!lock(fd)) {
    bool taken = errno == EAGAIN || errno == EACCES;
    return fail(
        fd, taken ? "Another engine owns the pool " + path + ". Stop it, or give this one a run directory of its own"
                  : "Cannot lock the pool " + path);
  }
  uint64_t size = kHeaderBytes + content_size;
  struct stat status = {};
  fstat(fd, &status);
  if (static_cast<uint64_t>(status.st_size) != size)
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, static_cast<off_t>(size)) != 0)
      return fail(fd, "Cannot size the pool " + path + " to " + std::to_string(size) + " bytes");
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return fail(fd, "Cannot map the pool " + path);
  auto* header = static_cast<PoolHeader*>(memory);
  bool inherited = holds(*header, layout, size);
  bool was_clean = inherited && header->clean;
  uint64_t generation = inherited ? header->generation : 0;
  *header = {PoolHeader::kMagic, layout, 0, generation + 1, size, 0};
  header->checksum = checksum_of(*header);
  std::unique_ptr<Pool> pool(new Pool(fd, header));
  pool->inherited_ = inherited;
  pool->was_clean_ = was_clean;
  if (!inherited && !pool->clear(error)) return nullptr;
  return pool;
}

// Punching a hole gives zeroes without touching the pages.
bool Pool::clear(std::string& error) {
  if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kHeaderBytes,
                static_cast<off_t>(header_->size - kHeaderBytes)) == 0)
    return true;
  error = std::string("Cannot clear a pool: ") + strerror(errno);
  return false;
}

Pool::~Pool() {
  munmap(header_, header_->size);
  ::close(fd_);
}

uint8_t* Pool::content() const {
  return reinterpret_cast<uint8_t*>(header_) + kHeaderBytes;
}

std::string pool_directory(const std::string& directory, std::string& error) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  struct statfs fs = {};
  if (!failed && statfs(directory.c_str(), &fs) == 0 && fs.f_type == TMPFS_MAGIC) return directory;
  std::string name = std::filesystem::absolute(directory).string();
  for (char& c : name)
    if (c == '/') c = '-';
  std::string shared = "/dev/shm/headgate" + name;
  std::filesystem::create_directories(shared, failed);
  if (failed || chmod(shared.c_str(), 0700) != 0) {
    error = "Cannot make a folder for pools in " + directory + " or " + shared + ": " + failed.message();
    return "";
  }
  return shared;
}

}  // namespace headgate
