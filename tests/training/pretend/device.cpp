// A device that computes on the CPU and, as a GPU does, refuses to mix its tensors with those of the CPU.
//
// PyTorch keeps PrivateUse1 for devices that it does not know (docs.pytorch.org, "Accelerator Integration"). What makes
// and moves tensors is here; every other operation is the CPU's, on copies.

#include <torch/extension.h>

#include <ATen/EmptyTensor.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <cstring>

namespace {

using at::Tensor;
using c10::SymIntArrayRef;
using Bytes = std::size_t;

constexpr auto PRETEND = c10::DeviceType::PrivateUse1;
const c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);
c10::Device device() { return c10::Device(PRETEND, 0); }
c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, device()); }

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(Bytes size) override {
    void* place = size ? std::malloc(size) : nullptr;
    return {place, place, &std::free, device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, Bytes size) const override { std::memcpy(to, from, size); }
};
Memory memory;
REGISTER_ALLOCATOR(PRETEND, &memory);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return PRETEND; }
  c10::Device exchangeDevice(c10::Device) const override { return device(); }
  c10::Device getDevice() const override { return device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Generator final : at::CPUGeneratorImpl {
  Generator() { device_ = device(), key_set_ = KEYS; }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void init() const override {}
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::Device getDeviceFromPtr(void*) const override { return device(); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return at::getCPUAllocator(); }
  bool isPinnedPtr(const void*) const override { return false; }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Generator>(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static auto only = at::make_generator<Generator>();
    return only;
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, Bytes size) const override {
    auto* whole = storage.unsafeGetStorageImpl();
    auto larger = memory.allocate(size);
    if (size && whole->nbytes()) std::memcpy(larger.get(), whole->data(), std::min(size, whole->nbytes()));
    whole->set_data_ptr_noswap(std::move(larger));
    whole->set_nbytes(size);
  }
};
Hooks hooks;

// A tensor of the CPU's over the same memory.
Tensor seen(const Tensor& tensor) {
  if (tensor.device().is_cpu()) return tensor;
  const int64_t count = tensor.storage().nbytes() / tensor.element_size();
  auto whole = at::from_blob(tensor.storage().mutable_data(), {count}, tensor.options().device(at::kCPU));
  return whole.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

using Kind = std::optional<at::ScalarType>;
using Layout = std::optional<at::Layout>;
using Place = std::optional<at::Device>;

Tensor empty(at::IntArrayRef sizes, Kind kind, Layout, Place, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &memory, KEYS, c10::dtype_or_default(kind), format);
}
Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, Kind kind, Layout, Place, std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &memory, KEYS, c10::dtype_or_default(kind));
}
Tensor copy_from(const Tensor& source, const Tensor& target, bool) {
  if (target.numel()) seen(target).copy_(seen(source));
  return target;
}
Tensor copy_from_and_resize(const Tensor& source, const Tensor& target) {
  if (!target.sizes().equals(source.sizes())) at::native::resize_(target, source.sizes(), std::nullopt);
  return copy_from(source, target, false);
}
at::Scalar item(const Tensor& tensor) { return seen(tensor).item(); }

// What shows the same memory otherwise, as the CPU does it.
Tensor view(const Tensor& tensor, SymIntArrayRef sizes) {
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(sizes));
}
Tensor as_strided(const Tensor& tensor, SymIntArrayRef sizes, SymIntArrayRef strides, std::optional<c10::SymInt> offset) {
  std::optional<int64_t> begin;
  if (offset) begin = offset->expect_int();
  return at::native::as_strided_tensorimpl(
      tensor, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides), begin);
}
Tensor reshape_alias(const Tensor& tensor, SymIntArrayRef sizes, SymIntArrayRef strides) {
  return at::native::_reshape_alias(tensor, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides));
}
const Tensor& resize(const Tensor& tensor, SymIntArrayRef sizes, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(tensor, C10_AS_INTARRAYREF_SLOW(sizes), format);
}
Tensor& set_storage(
    Tensor& tensor, at::Storage storage, c10::SymInt offset, SymIntArrayRef sizes, SymIntArrayRef strides) {
  return at::native::set_storage_cpu_(
      tensor, storage, offset.expect_int(), C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides));
}

// As the CPU does it, on copies; numbers may be of the CPU, and so may what picks elements.
void on_the_cpu(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const std::string name = operation.schema().name();
  bool here = false, there = false;
  auto look = [&](const Tensor& tensor) {
    if (!tensor.defined()) return;
    here |= tensor.device().type() == PRETEND;
    there |= tensor.device().is_cpu() && tensor.dim() > 0;
  };
  for (auto& value : torch::jit::last(*stack, operation.schema().arguments().size())) {
    if (value.isTensor()) look(value.toTensor());
    if (value.isTensorList()) for (const Tensor& tensor : value.toTensorVector()) look(tensor);
  }
  const bool picks = name.rfind("aten::index", 0) == 0 || name.rfind("aten::_index_put", 0) == 0;
  TORCH_CHECK(picks || !(here && there), "Expected all tensors to be on the same device, in ", name);
  for (auto& value : *stack)
    if (value.isGenerator()) value = at::detail::getDefaultCPUGenerator();
  at::native::cpu_fallback(operation, stack);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &item);
  library.impl("view", &view);
  library.impl("as_strided", &as_strided);
  library.impl("_reshape_alias", &reshape_alias);
  library.impl("resize_", &resize);
  library.impl("unfold", TORCH_FN(at::native::unfold));
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Tensor", TORCH_FN(at::native::set_tensor_));
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

// Autocast as on NVIDIA's GPUs.
#define LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define FLOAT32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define FLOAT32_BY_DEFAULT(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define WIDEST(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  AT_FORALL_LOWER_PRECISION_FP(LOWER)
  AT_FORALL_FP32(FLOAT32)
  AT_FORALL_FP32_SET_OPT_DTYPE(FLOAT32_BY_DEFAULT)
  AT_FORALL_PROMOTE(WIDEST)
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("begin", [] { at::RegisterPrivateUse1HooksInterface(&hooks); });
}
