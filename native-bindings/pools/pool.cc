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

// Why the header is not that of a pool with such content; empty if it is.
std::string fault_of(const PoolHeader& h, uint32_t layout, uint64_t size) {
  if (h.magic != PoolHeader::kMagic || h.checksum != checksum_of(h)) return "its header is damaged";
  if (h.layout != layout)
    return "its layout " + std::to_string(h.layout) + " is unknown here, which reads layout " + std::to_string(layout);
  if (h.size != size)
    return "it has " + std::to_string(h.size) + " bytes, and " + std::to_string(size) + " are needed: another " +
           "number of connections or workers";
  return "";
}

bool lock(int fd, short type) {
  struct flock whole = {};
  whole.l_type = type;
  whole.l_whence = SEEK_SET;
  return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

std::string lock_error(const std::string& path) {
  return errno == EAGAIN || errno == EACCES
             ? "Another engine owns the pool " + path + ". Stop it, or give this one a run directory of its own"
             : "Cannot lock the pool " + path;
}

std::unique_ptr<Pool> fail(int fd, const std::string& what, std::string& error) {
  error = what + ": " + strerror(errno);
  if (fd >= 0) ::close(fd);
  return nullptr;
}

PoolHeader* map(int fd, uint64_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<PoolHeader*>(memory);
}

}  // namespace

std::unique_ptr<Pool> Pool::open(const std::string& path, uint32_t layout, uint64_t content_size, std::string& error) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return fail(fd, "Cannot open the pool " + path, error);
  if (!lock(fd, F_WRLCK)) return fail(fd, lock_error(path), error);
  const uint64_t size = kHeaderBytes + content_size;
  PoolHeader found = {};
  const bool was_there = pread(fd, &found, sizeof found, 0) > 0;
  const std::string fault = fault_of(found, layout, size);
  struct stat status = {};
  fstat(fd, &status);
  // Of another size, it is not that of the header either.
  if (static_cast<uint64_t>(status.st_size) != size)
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, static_cast<off_t>(size)) != 0)
      return fail(fd, "Cannot size the pool " + path + " to " + std::to_string(size) + " bytes", error);
  PoolHeader* header = map(fd, size);
  if (!header) return fail(fd, "Cannot map the pool " + path, error);
  std::unique_ptr<Pool> pool(new Pool(fd, header));
  pool->inherited_ = fault.empty() && static_cast<uint64_t>(status.st_size) == size;
  pool->was_clean_ = pool->inherited_ && found.clean;
  if (was_there && !pool->inherited_) pool->discarded_ = fault.empty() ? "it is cut off" : fault;
  pool->become_owner(layout, size, pool->inherited_ ? found.generation : 0);
  if (!pool->inherited_ && !pool->clear(error)) return nullptr;
  return pool;
}

std::unique_ptr<Pool> Pool::attach(const std::string& path, uint32_t layout, uint64_t content_size,
                                   std::string& error) {
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fail(fd, "Cannot open the pool " + path, error);
  const uint64_t size = kHeaderBytes + content_size;
  PoolHeader found = {};
  struct stat status = {};
  const bool whole = pread(fd, &found, sizeof found, 0) == sizeof found && fstat(fd, &status) == 0;
  const std::string fault = fault_of(found, layout, size);
  if (!whole || !fault.empty() || static_cast<uint64_t>(status.st_size) != size) {
    ::close(fd);
    error = "The pool " + path + " cannot be taken over: " + (fault.empty() ? "it is cut off" : fault);
    return nullptr;
  }
  PoolHeader* header = map(fd, size);
  if (!header) return fail(fd, "Cannot map the pool " + path, error);
  return std::unique_ptr<Pool>(new Pool(fd, header));
}

std::optional<PoolHeader> Pool::look(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return std::nullopt;
  PoolHeader header = {};
  const bool whole = pread(fd, &header, sizeof header, 0) == sizeof header;
  ::close(fd);
  if (!whole || header.magic != PoolHeader::kMagic || header.checksum != checksum_of(header)) return std::nullopt;
  return header;
}

bool Pool::acquire(std::string& error) {
  if (!lock(fd_, F_WRLCK)) {
    error = lock_error("of another engine") + ": " + strerror(errno);
    return false;
  }
  inherited_ = true;
  was_clean_ = header_->clean;
  become_owner(header_->layout, header_->size, header_->generation);
  return true;
}

void Pool::become_owner(uint32_t layout, uint64_t size, uint64_t generation) {
  *header_ = {PoolHeader::kMagic, layout, 0, generation + 1, size, 0};
  header_->checksum = checksum_of(*header_);
}

void Pool::release(bool clean) {
  header_->clean = clean;
  lock(fd_, F_UNLCK);
}

bool Pool::is_at(const std::string& path) const {
  struct stat ours = {}, there = {};
  return fstat(fd_, &ours) == 0 && stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
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

uint64_t Pool::content_size() const {
  return header_->size - kHeaderBytes;
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
