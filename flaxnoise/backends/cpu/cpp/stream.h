// Constants of the stream, as in flaxnoise/stream/; a test compares the two.
#pragma once

#include <cstdint>

namespace flaxnoise {

constexpr uint32_t PHILOX_M4x32_0 = 0xD2511F53;
constexpr uint32_t PHILOX_M4x32_1 = 0xCD9E8D57;
constexpr uint32_t PHILOX_W32_0 = 0x9E3779B9;
constexpr uint32_t PHILOX_W32_1 = 0xBB67AE85;
constexpr int ROUNDS = 10;

constexpr int CHUNK = 1024;
constexpr int HALF = CHUNK / 2;
constexpr uint32_t EVERY = 1u << 31;

constexpr float LOG[] = {-2.0f,
                         0.9999983310699463f,
                         -0.6666839718818665f,
                         0.5001144409179688f,
                         -0.3991292417049408f,
                         0.33006006479263306f,
                         -0.2982828617095947f,
                         0.29366087913513184f,
                         -0.18287260830402374f};
constexpr float SIN[] = {0.7853981852531433f, -0.08074571192264557f, 0.0024906478356570005f,
                         -3.635127723100595e-05f};
constexpr float COS[] = {1.0f, -0.3084244132041931f, 0.01585014909505844f, -0.0003189770213793963f};

}  // namespace flaxnoise
