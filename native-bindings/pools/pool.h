// A pool: memory with a name that outlives the process, for state that the next engine is to find (design: "State").
//
// A pool is a file, mapped shared. Its content uses offsets, never pointers. The header says what it is; the owner
// holds an open-file-description lock on the file, which the kernel frees when the owner dies, so there is never a
// second owner and no keeper process. Memory is touched, and so taken, only as it is used.
//
// An engine that is to follow another maps the pool while the other still owns it, and acquires it when that lets go:
// nothing is copied.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace headgate {

struct PoolHeader {
  static constexpr uint64_t kMagic = 0x6c6f6f7067646568;  // "hedgpool"
  uint64_t magic;
  uint32_t layout;      // version of the content's layout
  uint32_t clean;       // 1: the last owner let go of it in order
  uint64_t generation;  // owners so far
  uint64_t size;        // of the whole file
  uint64_t checksum;    // of the fields above but `clean`
};

class Pool {
 public:
  // Creates the pool, or takes over the one that is there; content of another layout or size, or with a header that
  // does not hold, is thrown away. Null with `error` set when another process owns it, or the system refuses.
  static std::unique_ptr<Pool> open(const std::string& path, uint32_t layout, uint64_t content_size,
                                    std::string& error);
  // Maps the pool that is there without owning it. Null with `error` set when it is another than expected.
  static std::unique_ptr<Pool> attach(const std::string& path, uint32_t layout, uint64_t content_size,
                                      std::string& error);
  // What its header says; nothing where there is no pool, or its header does not hold.
  static std::optional<PoolHeader> look(const std::string& path);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Becomes the owner. False with `error` set while another is.
  bool acquire(std::string& error);
  // Lets others own it; the memory stays mapped. `clean`: the content is in order, and nothing writes any more.
  void release(bool clean);

  uint8_t* content() const;
  uint64_t content_size() const;
  uint32_t layout() const { return header_->layout; }
  uint64_t generation() const { return header_->generation; }
  // Whether an earlier owner's content was taken over, and whether that owner left it in order.
  bool inherited() const { return inherited_; }
  bool was_clean() const { return was_clean_; }
  // Why content that was there was thrown away; empty where it was not.
  const std::string& discarded() const { return discarded_; }
  // Whether the file at that path is this one.
  bool is_at(const std::string& path) const;
  // Throws the content away: it is zero afterwards. False with `error` set when the system refuses.
  bool clear(std::string& error);

 private:
  Pool(int fd, PoolHeader* header) : fd_(fd), header_(header) {}
  void become_owner(uint32_t layout, uint64_t size, uint64_t generation);
  int fd_;
  PoolHeader* header_;
  bool inherited_ = false;
  bool was_clean_ = false;
  std::string discarded_;
};

// Where pools live: `directory` if it is on tmpfs, else a folder of its own below /dev/shm, since pools on a disk would
// be written back to it. Made if missing. Empty with `error` set if neither can be had.
std::string pool_directory(const std::string& directory, std::string& error);

}  // namespace headgate
